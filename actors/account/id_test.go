package account

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestAUserIDHasOneSpelling(t *testing.T) {
	const canonical = "0e519a01-7c3e-4d2b-9f00-112233445566"
	if id, err := ParseUserID(canonical); err != nil || id != testUser || id.String() != canonical {
		t.Errorf("ParseUserID gives %s, %v", id, err)
	}
	if got := testUser.Address(); got != "aitbc_0e519a017c3e4d2b9f00112233445566" {
		t.Errorf("the address is %s", got)
	}
	for _, bad := range []string{
		"", "0", strings.ToUpper(canonical), strings.ReplaceAll(canonical, "-", ""), "{" + canonical + "}", "urn:uuid:" + canonical,
		canonical + "0", canonical[:35], canonical[:35] + "g", " " + canonical[1:], strings.Replace(canonical, "-", "_", 1),
	} {
		if id, err := ParseUserID(bad); err == nil || id != (UserID{}) {
			t.Errorf("%q is read as %s, %v", bad, id, err)
		}
	}
}

func TestATransactionIDHasOneSpelling(t *testing.T) {
	const user = "0e519a017c3e4d2b9f00112233445566"
	for text, n := range map[string]uint32{user + "-1": 1, user + "-10": 10, user + "-4294967295": 1<<32 - 1} {
		id, err := ParseTransactionID(text)
		if err != nil || id != (TransactionID{testUser, n}) || id.String() != text {
			t.Errorf("%q is read as %v, %v", text, id, err)
		}
	}
	for _, bad := range []string{
		"", user, user + "-", user + "-0", user + "-01", user + "-+1", user + "--1", user + "-1 ", user + "-4294967296",
		user + "-18446744073709551617", user + "_1", strings.ToUpper(user) + "-1", user[1:] + "-1", user[1:] + "g-1",
		testUser.String() + "-1", user + "-1a", user + "-١",
	} {
		if id, err := ParseTransactionID(bad); err == nil || id != (TransactionID{}) {
			t.Errorf("%q is read as %v, %v", bad, id, err)
		}
	}
}

func TestEveryIDIsReadAsItWasWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := TransactionID{genUserID.Draw(t, "user"), max(1, number(t))}
		if got, err := ParseTransactionID(id.String()); err != nil || got != id {
			t.Fatalf("%s is read as %s, %v", id, got, err)
		}
		if got, err := ParseUserID(id.User.String()); err != nil || got != id.User {
			t.Fatalf("%s is read as %s, %v", id.User, got, err)
		}
	})
}

func TestATimeIsWrittenInUTCToTheMicrosecond(t *testing.T) {
	east := time.Date(2024, 2, 29, 1, 2, 3, 456_789_999, time.FixedZone("", 3600))
	if got := TimeOf(east).String(); got != "2024-02-29T00:02:03.456789Z" {
		t.Errorf("the time is written %s", got)
	}
	if got := TimeOf(start.Std()); got != start {
		t.Errorf("%d µs became %d", start, got)
	}
	if got := start.Add(time.Second + 999); got != start+1_000_000 {
		t.Errorf("a second later is %d µs later, want 1,000,000", got-start)
	}
}

func TestEveryNameIsReadAsItIsWritten(t *testing.T) {
	for i := range 256 {
		if got, ok := ParseType(Type(i).String()); ok != (i > 0 && i < numTypes) || (ok && got != Type(i)) {
			t.Errorf("type %d, %q, is read as %d, %t", i, Type(i), got, ok)
		}
		if got, ok := ParseTransactionStatus(TransactionStatus(i).String()); ok != (i > 0 && i < numStatuses) || (ok && got != TransactionStatus(i)) {
			t.Errorf("status %d, %q, is read as %d, %t", i, TransactionStatus(i), got, ok)
		}
		if got, ok := ParseStatus(Status(i).String()); ok != (i > 0 && i < numUserStatuses) || (ok && got != Status(i)) {
			t.Errorf("user status %d, %q, is read as %d, %t", i, Status(i), got, ok)
		}
	}
	for _, none := range []string{"", "Active", "unknown"} {
		if _, ok := ParseType(none); ok {
			t.Errorf("%q is a type", none)
		}
		if _, ok := ParseStatus(none); ok {
			t.Errorf("%q is a user status", none)
		}
	}
}
