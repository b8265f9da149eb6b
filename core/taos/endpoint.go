package taos

import (
	"crypto/tls"
	"crypto/x509"
	"net/url"
	"os"
	"strings"

	"tdreplica/config"
	"tdreplica/core"
)

// The credentials that TDengine is delivered with.
const (
	defaultUser     = "root"
	defaultPassword = "taosdata"
)

// endpoint is a core.Endpoint resolved for one connect.
type endpoint struct {
	addr config.Address
	cred credentials
	tls  *tls.Config // nil without TLS
	// compression is asked for with the handshake; an adapter that does not
	// know it is talked to without.
	compression bool
}

// String is the address without credentials.
func (e endpoint) String() string { return e.addr.String() }

// credentials are a user and a password, or a token. They print without secrets.
type credentials struct {
	user, password string
	token          string
}

func (c credentials) String() string {
	if c.token != "" {
		return "the given token"
	}
	return c.user
}

// GoString keeps the secrets out of %#v.
func (c credentials) GoString() string { return c.String() }

func nothingGiven(ep core.Endpoint, userinfo *url.Userinfo) bool {
	return !ep.HasCredentials() && (userinfo == nil || userinfo.String() == "" || userinfo.String() == ":")
}

// resolve reads what an endpoint refers to: the address, the credentials (files
// are read each time) and the certificate authority.
func resolve(ep core.Endpoint) (endpoint, error) {
	addr, userinfo, err := config.ParseAddress(ep.URL)
	if err != nil {
		return endpoint{}, &core.Error{Class: core.ClassOperator, Op: "read the endpoint", Text: err.Error(), Err: err}
	}
	e := endpoint{addr: addr, compression: ep.Compression}
	if e.cred, err = readCredentials(ep, userinfo, addr); err != nil {
		return endpoint{}, err
	}
	if e.tls, err = tlsConfig(ep, addr); err != nil {
		return endpoint{}, err
	}
	return e, nil
}

func readCredentials(ep core.Endpoint, userinfo *url.Userinfo, addr config.Address) (credentials, error) {
	op := "read the credentials for " + addr.String()
	if ep.Token != "" {
		return credentials{token: ep.Token}, nil
	}
	if ep.TokenFile != "" {
		token, err := readSecret(op, ep.TokenFile)
		return credentials{token: token}, err
	}
	if nothingGiven(ep, userinfo) {
		return credentials{user: defaultUser, password: defaultPassword}, nil
	}
	c := credentials{user: ep.User}
	if c.user == "" && userinfo != nil {
		c.user = userinfo.Username()
	}
	if c.user == "" {
		c.user = defaultUser
	}
	var err error
	switch {
	case ep.Password != "":
		c.password = ep.Password
	case ep.PasswordFile != "":
		c.password, err = readSecret(op, ep.PasswordFile)
	case ep.PasswordEnv != "":
		if c.password = os.Getenv(ep.PasswordEnv); c.password == "" {
			err = badCredentials(op, "the environment variable "+ep.PasswordEnv+" is not set")
		}
	case userinfo != nil:
		c.password, _ = userinfo.Password()
	}
	if err == nil && c.password == "" {
		err = badCredentials(op, "no password is given for the user "+c.user)
	}
	return c, err
}

func badCredentials(op, text string) error {
	return &core.Error{Class: core.ClassOperator, Op: op, Text: text,
		Hint: "give a password file, an environment variable, or user and password in the URL"}
}

// readSecret reads a file that holds one secret; a line break at its end does
// not belong to it.
func readSecret(op, path string) (string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return "", &core.Error{Class: core.ClassOperator, Op: op, Text: err.Error(), Err: err}
	}
	secret := strings.TrimRight(string(b), "\r\n")
	if secret == "" {
		return "", badCredentials(op, "the file "+path+" is empty")
	}
	return secret, nil
}

func tlsConfig(ep core.Endpoint, addr config.Address) (*tls.Config, error) {
	op := "prepare TLS for " + addr.String()
	if !addr.TLS {
		if ep.TLSCAFile != "" {
			return nil, &core.Error{Class: core.ClassOperator, Op: op,
				Text: "a certificate authority is given, but the address is not https", Hint: "write https:// or wss://"}
		}
		return nil, nil
	}
	conf := &tls.Config{ServerName: addr.Host, MinVersion: tls.VersionTLS12, InsecureSkipVerify: ep.TLSSkip}
	if ep.TLSCAFile == "" {
		return conf, nil
	}
	pem, err := os.ReadFile(ep.TLSCAFile)
	if err != nil {
		return nil, &core.Error{Class: core.ClassOperator, Op: op, Text: err.Error(), Err: err}
	}
	conf.RootCAs = x509.NewCertPool()
	if !conf.RootCAs.AppendCertsFromPEM(pem) {
		return nil, &core.Error{Class: core.ClassOperator, Op: op,
			Text: "the file " + ep.TLSCAFile + " holds no certificate in PEM form"}
	}
	return conf, nil
}
