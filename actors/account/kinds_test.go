package account

import (
	"encoding"
	"path/filepath"
	"reflect"
	"regexp"
	"testing"
)

func TestEveryKindOfEventHasANameAConstructorAndGoldenData(t *testing.T) {
	golden := map[kind]bool{}
	for _, event := range goldenEvents {
		golden[event.kind()] = true
	}
	form := regexp.MustCompile(`^([A-Z]+[a-z]+)+$`)
	taken := map[string]kind{}
	for i := range kinds {
		k, name := kind(i), kinds[i].name
		if (name == "") != (kinds[i].make == nil) {
			t.Errorf("kind %d: a line of the table in kinds.go takes a name and a constructor; this one has the name %q, and a constructor: %t",
				k, name, kinds[i].make != nil)
		}
		if name == "" || kinds[i].make == nil {
			continue
		}
		if other, twice := taken[name]; twice {
			t.Errorf("kinds %d and %d are both called %s", other, k, name)
		}
		taken[name] = k
		if !form.MatchString(name) {
			t.Errorf("kind %d is called %q, want one word such as TxCompleted", k, name)
		}
		event := newEvent(k)
		if event.kind() != k || EventName(event) != name {
			t.Errorf("kind %d, %s, makes a %T of kind %d with the name %s", k, name, event, event.kind(), EventName(event))
		}
		if !golden[k] {
			t.Errorf("%s has no golden data: add one to goldenEvents in golden_test.go, then write its record with "+
				"go test ./actors/account -run Version -update, and what dump and repair print of it with "+
				"go test ./cmd/exchange -run Golden -update", name)
		}
		if genEvents[k] == nil {
			t.Errorf("%s has no generator: add one to genEvents in generators_test.go", name)
		}
	}
	for k := range genEvents {
		if newEvent(k) == nil {
			t.Errorf("kind %d has a generator and no line in the table in kinds.go", k)
		}
	}
	for _, event := range goldenEvents {
		if newEvent(event.kind()) == nil {
			t.Errorf("%T, kind %d, has golden data and no line in the table in kinds.go", event, event.kind())
		}
	}
	files, err := filepath.Glob(filepath.Join("testdata", "record_v1", "*.golden"))
	if err != nil || len(files) != len(goldens()) {
		t.Errorf("%v, %d golden files of records, want %d; go test ./actors/account -run Version -update writes those that are missing",
			err, len(files), len(goldens()))
	}
}

// untagged returns the fields of a struct type, and of those in it, that have no json tag.
func untagged(t reflect.Type, path string) []string {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || t.Implements(reflect.TypeFor[encoding.TextMarshaler]()) {
		return nil
	}
	var found []string
	for i := range t.NumField() {
		field := t.Field(i)
		if field.Tag.Get("json") == "" {
			found = append(found, path+"."+field.Name)
		}
		found = append(found, untagged(field.Type, path+"."+field.Name)...)
	}
	return found
}

func TestEveryFieldThatIsDumpedIsNamedByATag(t *testing.T) {
	var found []string
	for i := range kinds {
		if event := newEvent(kind(i)); event != nil {
			found = append(found, untagged(reflect.TypeOf(event), EventName(event))...)
		}
	}
	for _, path := range append(found, untagged(reflect.TypeFor[Transaction](), "Transaction")...) {
		t.Errorf("%s has no json tag, such as `json:\"expires_at\"`: the name that exchange dump prints, whatever Go calls the field", path)
	}
}
