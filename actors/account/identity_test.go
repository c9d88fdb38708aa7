package account

import (
	"errors"
	"slices"
	"testing"
)

// identityOf ties a real directory to a network and key n.
func identityOf(n byte) *SetIdentity {
	return &SetIdentity{
		Mode: RealMode, Network: "regtest", Genesis: ChainHash{0: 0x06, 31: 0x0f},
		Key: ExtendedKey{Fingerprint: KeyFingerprint{n}, Text: "vpub1"},
	}
}

func TestADirectoryIsTiedOnceAndToOneThing(t *testing.T) {
	a := New(SystemID)
	do(t, a, identityOf(1), start)
	if key := a.Identity.Key(); a.Identity.Mode != RealMode || a.Identity.Network != "regtest" || key.Fingerprint != (KeyFingerprint{1}) || key.Since != start {
		t.Fatalf("the identity is %+v", a.Identity)
	}
	before := a.Seq
	do(t, a, identityOf(1), start+1)
	do(t, a, &SetIdentity{Mode: RealMode}, start+1) // without a node
	if a.Seq != before {
		t.Errorf("the same identity was written again")
	}
	other, chain := identityOf(1), identityOf(1)
	other.Network, chain.Genesis = "mainnet", ChainHash{}
	for name, c := range map[string]Command{"mode": &SetIdentity{Mode: DemoMode}, "key": identityOf(2), "network": other, "chain": chain} {
		if _, err := a.Decide(c, nil, start+2); !refusedAs(err, CodeOtherIdentity) {
			t.Errorf("another %s: %v, want %s", name, err, CodeOtherIdentity)
		}
	}
	user := New(testUser)
	if _, err := user.Decide(identityOf(1), nil, start); !refusedAs(err, CodeNotFound) {
		t.Errorf("a user's account was tied: %v", err)
	}
}

func refusedAs(err error, code Code) bool {
	var refused *Error
	return errors.As(err, &refused) && refused.Code == code
}

func TestAKeyIsUsedFromWhereTheLastOneEnds(t *testing.T) {
	a := New(SystemID)
	move := func(external uint32) *MoveKey {
		return &MoveKey{Key: ExtendedKey{Fingerprint: KeyFingerprint{byte(external)}, Text: "vpub2", External: external}, By: "ops"}
	}
	do(t, a, &SetIdentity{Mode: RealMode}, start)
	if _, err := a.Decide(move(9), nil, start); !refusedAs(err, CodeNotFound) {
		t.Errorf("a move without a first key: %v", err)
	}
	do(t, a, identityOf(1), start)
	do(t, a, &ExportPayout{goldenPayout}, start) // number 1, with change index 299
	shared := a.Identity
	do(t, a, move(9), start+1)
	if len(shared.Keys) != 1 {
		t.Error("an identity was changed that readers have")
	}
	if _, err := a.Decide(move(8), nil, start+2); !refusedAs(err, CodeNoChange) {
		t.Errorf("a key from an address of the last one on: %v", err)
	}
	do(t, a, move(9), start+2) // nobody was given an address meanwhile
	var firsts []uint32
	for _, key := range a.Identity.Keys {
		firsts = append(firsts, key.External, key.Change)
	}
	if want := []uint32{0, 0, 9, 300, 9, 300}; !slices.Equal(firsts, want) {
		t.Errorf("the keys begin at %d, want %d", firsts, want)
	}
	bad := Record{User: SystemID, Seq: a.Seq + 1, At: start + 3, Events: []Event{&ExtendedKeyAdded{External: 10, Change: 299}}}
	if err := a.Apply(&bad); !errors.Is(err, ErrApply) {
		t.Errorf("a key whose change is of the last one: %v, want ErrApply", err)
	}
}
