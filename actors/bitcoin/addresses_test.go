package bitcoin

import "testing"

func TestManyAddressesAreThoseThatAreDerivedOneByOne(t *testing.T) {
	keys := mustKeys(t, vectorPublic, Mainnet)
	for _, r := range [][2]uint32{{0, 0}, {0, 1}, {7, 1000}, {MaxIndex - 3, MaxIndex + 2}} {
		list := keys.Addresses(r[0], r[1])
		if len(list) != int(r[1]-r[0]) {
			t.Fatalf("%d addresses from %d up to %d", len(list), r[0], r[1])
		}
		for i, got := range list {
			if want, _ := keys.Address(r[0] + uint32(i)); got != want {
				t.Fatalf("address %d is %q, want %q", r[0]+uint32(i), got, want)
			}
		}
	}
}

func BenchmarkAThousandAddresses(b *testing.B) {
	keys := mustKeys(b, vectorPublic, Mainnet)
	b.ReportAllocs()
	for b.Loop() {
		keys.Addresses(0, 1000)
	}
}
