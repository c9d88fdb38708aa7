package format

// Position says where a record stands in the log: the number of its frame, and its
// index in the frame.
type Position struct {
	Frame  uint64 // from 1
	Record uint32 // from 0
}
