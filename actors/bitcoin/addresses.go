package bitcoin

import (
	"crypto/hmac"
	"crypto/sha512"
	"encoding/binary"
	"runtime"
	"sync"

	"github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/btcec/v2"
)

// Addresses returns the addresses that Address gives for the indexes from one on and
// below another, "" for one that has none. It is for thousands of them: of BIP-32's
// derivation it does once what is the same for all, inverts once for each batch, and
// uses all processors.
func (k *Keys) Addresses(from, below uint32) []string {
	addresses := make([]string, below-from)
	for first := from; first < below; {
		key, end := k.of(externalChain, first), below
		for _, later := range k.keys { // each begins where the one before ends
			if start := later.first[externalChain]; start > first {
				end = min(end, start)
			}
		}
		k.fill(key, first, addresses[first-from:end-from])
		first = end
	}
	return addresses
}

// fill derives the addresses of one key from an index on.
func (k *Keys) fill(key *extendedKey, from uint32, addresses []string) {
	const batch = 256
	parent, err := key.chains[externalChain].ECPubKey()
	if err != nil {
		return
	}
	var next sync.Mutex
	begin := 0
	var finished sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		finished.Go(func() {
			d := newDeriver(parent, key.chains[externalChain].ChainCode())
			for {
				next.Lock()
				first := begin
				begin += batch
				next.Unlock()
				if first >= len(addresses) {
					return
				}
				part := addresses[first:min(first+batch, len(addresses))]
				for i, public := range d.derive(from+uint32(first), len(part)) {
					if public == nil {
						continue
					}
					if a, err := address.NewAddressWitnessPubKeyHash(address.Hash160(public), k.network.params); err == nil {
						part[i] = a.EncodeAddress()
					}
				}
			}
		})
	}
	finished.Wait()
}

// deriver derives the public keys below one (BIP-32, CKDpub). One goroutine owns it.
type deriver struct {
	compressed []byte
	parent     btcec.JacobianPoint
	chainCode  []byte
}

func newDeriver(parent *btcec.PublicKey, chainCode []byte) *deriver {
	d := &deriver{compressed: parent.SerializeCompressed(), chainCode: chainCode}
	parent.AsJacobian(&d.parent)
	return d
}

// derive returns the keys of count indexes, compressed; nil for one in 2^127 that has
// none, and for those beyond MaxIndex.
func (d *deriver) derive(first uint32, count int) [][]byte {
	keys := make([][]byte, count)
	points := make([]btcec.JacobianPoint, count)
	products := make([]btcec.FieldVal, count) // of all Z up to one, for one inversion
	var product btcec.FieldVal
	product.SetInt(1)
	for i := range points {
		if index := uint64(first) + uint64(i); index <= MaxIndex && d.child(uint32(index), &points[i]) {
			product.Mul(&points[i].Z).Normalize()
		} else {
			points[i].Z.Zero()
		}
		products[i] = product
	}
	inverse := *product.Inverse()
	for i := count - 1; i >= 0; i-- {
		p := &points[i]
		if p.Z.IsZero() {
			continue
		}
		z := inverse // of p alone: the inverse of all up to it, times all before it
		if i > 0 {
			z.Mul(&products[i-1])
		}
		inverse.Mul(&p.Z)
		var square btcec.FieldVal
		square.SquareVal(&z)
		p.X.Mul(&square).Normalize()
		p.Y.Mul(square.Mul(&z)).Normalize()
		keys[i] = btcec.NewPublicKey(&p.X, &p.Y).SerializeCompressed()
	}
	return keys
}

// child computes the point of an index, and reports whether there is one.
func (d *deriver) child(index uint32, point *btcec.JacobianPoint) bool {
	mac := hmac.New(sha512.New, d.chainCode)
	mac.Write(d.compressed)
	mac.Write(binary.BigEndian.AppendUint32(nil, index))
	var scalar btcec.ModNScalar
	if scalar.SetByteSlice(mac.Sum(nil)[:32]) {
		return false
	}
	var left btcec.JacobianPoint
	btcec.ScalarBaseMultNonConst(&scalar, &left)
	if left.Z.IsZero() || (left.X.IsZero() && left.Y.IsZero()) {
		return false
	}
	btcec.AddNonConst(&left, &d.parent, point)
	point.Z.Normalize()
	return !point.Z.IsZero() && !(point.X.IsZero() && point.Y.IsZero())
}
