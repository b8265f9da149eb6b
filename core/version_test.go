package core

import (
	"errors"
	"strings"
	"testing"
)

func TestParseVersion(t *testing.T) {
	for in, want := range map[string]Version{
		"3.3.7.5":       {3, 3, 7, 5},
		"3.3.7.5.alpha": {3, 3, 7, 5},
		"3.3":           {3, 3, 0, 0},
		"3.4.1.alpha":   {3, 4, 1, 0},
		" 3.3.0.0\n":    {3, 3, 0, 0},
	} {
		got, err := ParseVersion(in)
		if err != nil || got != want {
			t.Errorf("ParseVersion(%q) = %v, %v; want %v", in, got, err, want)
		}
	}
	for _, in := range []string{"", "3", "x.y", "-3.1", "three.3"} {
		if v, err := ParseVersion(in); err == nil {
			t.Errorf("ParseVersion(%q) = %v without an error", in, v)
		}
	}
}

func TestVersionOrder(t *testing.T) {
	ordered := []Version{{3, 2, 9, 9}, {3, 3, 0, 0}, {3, 3, 2, 2}, {3, 3, 2, 3}, {3, 3, 2, 13}, {3, 3, 10, 0}, {3, 4, 0, 0}}
	for i, a := range ordered {
		for j, b := range ordered {
			if a.AtLeast(b) != (i >= j) {
				t.Errorf("%v.AtLeast(%v) = %v", a, b, a.AtLeast(b))
			}
		}
	}
}

func TestCheckTwoWay(t *testing.T) {
	if err := (Versions{Server: "3.3.3.0", Adapter: "3.3.2.3"}).CheckTwoWay("http://a:6041"); err != nil {
		t.Fatal(err)
	}
	for _, adapter := range []string{"3.3.2.2", "3.3.0.0", "", "nonsense"} {
		err := (Versions{Server: "3.3.3.0", Adapter: adapter}).CheckTwoWay("http://a:6041")
		var e *Error
		if !errors.As(err, &e) || e.Class != ClassOperator || !strings.Contains(err.Error(), "3.3.2.3") {
			t.Errorf("adapter %q: %v", adapter, err)
		}
	}
}

func TestCheckCompare(t *testing.T) {
	if err := (Versions{Server: "3.3.0.8", Adapter: "3.3.0.7"}).CheckCompare("http://a:6041"); err != nil {
		t.Fatal(err)
	}
	for _, adapter := range []string{"3.3.0.4", "nonsense"} {
		err := (Versions{Server: "3.3.0.8", Adapter: adapter}).CheckCompare("http://a:6041")
		if ClassOf(err) != ClassOperator || !strings.Contains(err.Error(), "3.3.0.7") {
			t.Errorf("adapter %q: %v", adapter, err)
		}
	}
}
