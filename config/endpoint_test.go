package config

import (
	"errors"
	"strings"
	"testing"
)

func TestParseAddressIsCanonical(t *testing.T) {
	for in, want := range map[string]string{
		"http://td1":                 "http://td1:6041",
		"http://TD1:6041/":           "http://td1:6041",
		"ws://td1:6041":              "http://td1:6041",
		"WSS://td1":                  "https://td1:6041",
		"https://td1:443":            "https://td1:443",
		"http://root:taosdata@td1:1": "http://td1:1",
		"http://[::1]:6041":          "http://[::1]:6041",
		"http://[FE80::1]":           "http://[fe80::1]:6041",
	} {
		got, _, err := ParseAddress(in)
		if err != nil || got.String() != want {
			t.Errorf("ParseAddress(%q) = %v, %v; want %s", in, got, err, want)
		}
	}
	a, user, err := ParseAddress("https://u:p%40ss@h:7")
	if password, _ := user.Password(); err != nil || user.Username() != "u" || password != "p@ss" {
		t.Errorf("user and password are %v, %v", user, err)
	}
	if got := a.WebSocket("/ws"); got != "wss://h:7/ws" {
		t.Errorf("the WebSocket's URL is %s", got)
	}
}

func TestParseAddressSaysWhatIsWrong(t *testing.T) {
	for in, want := range map[string]string{
		"":                     "is empty",
		"http://":              "has no host",
		"http://:6041":         "has no host",
		"ftp://td1":            `scheme "ftp" is unknown; allowed: http, https, ws, wss`,
		"http://td1:0":         "from 1 to 65535",
		"http://td1:65536":     "from 1 to 65535",
		"http://td1/db":        "more than host and port",
		"http://td1?a=b":       "more than host and port",
		"http://u:s3cret%@td1": "not a URL",
		"ws://::":              "neither a name nor an IP address",
		"http://a b":           "not a URL",
		"http://a'b":           "neither a name nor an IP address",
	} {
		if _, _, err := ParseAddress(in); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("ParseAddress(%q) gives %v, want %q in it", in, err, want)
		}
	}
	if _, _, err := ParseAddress("td1:6030"); !errors.Is(err, ErrNative) {
		t.Errorf("an address without a scheme gives %v", err)
	}
}

func FuzzParseAddress(f *testing.F) {
	for _, s := range []string{"http://a", "wss://u:p@[::1]:1/", "a:6030", "http://%zz", "http://a:99999", "//", "HTTP://Ä"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, _, err := ParseAddress(s)
		if err != nil {
			return
		}
		again, user, err := ParseAddress(a.String())
		if err != nil || again != a || user != nil {
			t.Fatalf("%q is %v, which is read back as %v, %v", s, a, again, err)
		}
	})
}
