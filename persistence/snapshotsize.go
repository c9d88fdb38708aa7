package persistence

// SnapshotBytes returns how many bytes the newest snapshot has, valid or not, 0 if
// there is none or its size is not known: the work ahead of LoadSnapshot.
func (j *Journal) SnapshotBytes() uint64 {
	if j.cfg.Snapshots == nil {
		return 0
	}
	names, err := j.cfg.Snapshots.Snapshots()
	if err != nil || len(names) == 0 {
		return 0
	}
	in, err := j.cfg.Snapshots.OpenSnapshot(names[len(names)-1])
	if err != nil {
		return 0
	}
	defer in.Close()
	return uint64(in.Size())
}
