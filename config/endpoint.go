package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"unicode"
)

// DefaultPort is taosAdapter's.
const DefaultPort = 6041

// ErrNative is returned for an address without a scheme: that is TDengine's
// native protocol, which this build does not speak.
var ErrNative = errors.New("the endpoint has no scheme; expected the address of a taosAdapter, http://HOST:6041 (native connections are not part of this build)")

// Address is where an endpoint listens, without credentials. Two addresses
// that mean the same adapter are equal: ws is http, wss is https, hosts are in
// lower case and the port is always set.
type Address struct {
	TLS  bool
	Host string
	Port int
}

// String is the canonical form, as every screen and document shows it.
func (a Address) String() string { return a.scheme("http") + "://" + a.HostPort() }

// HostPort is host:port, with brackets around an IPv6 address.
func (a Address) HostPort() string { return net.JoinHostPort(a.Host, strconv.Itoa(a.Port)) }

// WebSocket is the URL of a path at this address: ws://host:port/path.
func (a Address) WebSocket(path string) string { return a.scheme("ws") + "://" + a.HostPort() + path }

func (a Address) scheme(plain string) string {
	if a.TLS {
		return plain + "s"
	}
	return plain
}

// ParseAddress reads http://, https://, ws:// or wss:// URLs. A user and a
// password in the URL are returned beside the address (user is nil if there is
// none). Its errors never repeat the URL, which may hold a password.
func ParseAddress(s string) (Address, *url.Userinfo, error) {
	if s == "" {
		return Address{}, nil, errors.New("the endpoint is empty; expected http://HOST:PORT")
	}
	if !strings.Contains(s, "://") {
		return Address{}, nil, ErrNative
	}
	u, err := url.Parse(s)
	if err != nil {
		// The error of net/url quotes the input; only its last part is safe.
		return Address{}, nil, errors.New("the endpoint is not a URL; expected http://HOST:PORT (write special characters of a password as %XX)")
	}
	a := Address{Host: strings.ToLower(u.Hostname()), Port: DefaultPort}
	switch strings.ToLower(u.Scheme) {
	case "http", "ws":
	case "https", "wss":
		a.TLS = true
	default:
		return Address{}, nil, fmt.Errorf("the endpoint's scheme %q is unknown; allowed: http, https, ws, wss", u.Scheme)
	}
	if a.Host == "" {
		return Address{}, nil, errors.New("the endpoint has no host; expected http://HOST:PORT")
	}
	if !validHost(a.Host) {
		return Address{}, nil, errors.New("the endpoint's host is neither a name nor an IP address; expected http://HOST:PORT")
	}
	if p := u.Port(); p != "" {
		a.Port, err = strconv.Atoi(p)
		if err != nil || a.Port < 1 || a.Port > 65535 {
			return Address{}, nil, fmt.Errorf("the endpoint's port %q is not a number from 1 to 65535", p)
		}
	}
	if strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return Address{}, nil, errors.New("the endpoint has more than host and port; expected http://HOST:PORT")
	}
	return a, u.User, nil
}

// EndpointName reports whether a text could name an endpoint. One that could is no
// address, and so holds no password.
func EndpointName(s string) bool { return endpointName.MatchString(s) }

// validHost takes IP addresses and whatever could be a name to look up.
func validHost(host string) bool {
	if strings.Contains(host, ":") {
		ip, err := netip.ParseAddr(host)
		return err == nil && ip.Zone() == ""
	}
	return !strings.ContainsFunc(host, func(r rune) bool {
		return r != '-' && r != '.' && r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r)
	})
}
