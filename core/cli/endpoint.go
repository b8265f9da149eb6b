package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"tdreplica/config"
	"tdreplica/core"
)

// The environment variables of credentials begin with these.
const (
	sourceEnv = "TDREPLICA_SOURCE_"
	sinkEnv   = "TDREPLICA_SINK_"
)

// endpointFlags are those of one side.
type endpointFlags struct {
	side string // source or sink
	env  string
	ep   core.Endpoint
}

func (f *endpointFlags) flags(cmd *cobra.Command, short, long string) {
	fl := cmd.Flags()
	fl.StringVarP(&f.ep.URL, long, short, "", f.side+" `ENDPOINT`: http://HOST:PORT of a taosAdapter (https, ws, wss too), or a name of the configuration")
	fl.StringVar(&f.ep.User, f.side+"-user", "", "user at the "+f.side+" (or $"+f.env+"USER)")
	fl.StringVar(&f.ep.PasswordFile, f.side+"-password-file", "", "`FILE` with the password, read at each connect (or $"+f.env+"PASSWORD for the password itself)")
	fl.StringVar(&f.ep.TokenFile, f.side+"-token-file", "", "`FILE` with a token, instead of user and password (or $"+f.env+"TOKEN)")
	fl.StringVar(&f.ep.TLSCAFile, f.side+"-tls-ca", "", "`FILE` with the certificates to trust")
	fl.BoolVar(&f.ep.Compression, f.side+"-compression", false, "compress messages, for a thin line")
	fl.BoolVar(&f.ep.TLSSkip, f.side+"-tls-skip-verify", false, "do not check the certificate")
}

// given reports whether anything but the endpoint itself was given.
func (f *endpointFlags) given() bool {
	ep := f.ep
	ep.URL = ""
	return ep != core.Endpoint{}
}

// endpoint completes what the flags say by the environment, and checks what
// can be checked here. User and password of a URL are taken out of it.
func (f *endpointFlags) endpoint(cmd *cobra.Command) (core.Endpoint, error) {
	ep := f.ep
	if strings.Contains(ep.URL, "://") {
		address, login, err := config.ParseAddress(ep.URL)
		if err != nil {
			return ep, usage(cmd, "%s: %s", f.side, err)
		}
		ep.URL = address.String()
		if login != nil {
			if password, ok := login.Password(); ok {
				ep.Password = password
			}
			if ep.User == "" {
				ep.User = login.Username()
			}
		}
	}
	if ep.User == "" {
		ep.User = os.Getenv(f.env + "USER")
	}
	if ep.PasswordFile == "" && ep.Password == "" && ep.TokenFile == "" {
		ep.Password = os.Getenv(f.env + "PASSWORD")
		ep.Token = os.Getenv(f.env + "TOKEN")
	}
	for _, file := range []struct {
		path   *string
		secret bool
	}{{&ep.PasswordFile, true}, {&ep.TokenFile, true}, {&ep.TLSCAFile, false}} {
		if err := readable(file.path, file.secret); err != nil {
			return ep, fmt.Errorf("%s: %w", f.side, err)
		}
	}
	return ep, nil
}

// readable makes a path absolute, since the instance reads the file from
// another directory, and refuses a secret that everybody can read.
func readable(path *string, secret bool) error {
	if *path == "" {
		return nil
	}
	abs, err := filepath.Abs(*path)
	if err != nil {
		return fmt.Errorf("find %s: %w", *path, err)
	}
	st, err := os.Stat(abs)
	if err != nil {
		return fmt.Errorf("look at the file: %w", err)
	}
	if secret && st.Mode().Perm()&0o004 != 0 {
		return &core.RefusedError{
			Text: fmt.Sprintf("the file %s can be read by everybody (mode %04o)", abs, st.Mode().Perm()),
			Hint: "chmod 600 " + abs,
		}
	}
	*path = abs
	return nil
}
