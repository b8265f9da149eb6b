package embedded

import (
	"slices"
	"time"
)

// user is an account and what it may do. Rights on databases and topics are
// kept as `right name`, for example `read power` or `subscribe t1`.
type user struct {
	name, password string
	super          bool
	enabled        bool
	createDB       bool
	created        time.Time
	rights         []string
}

func (u *user) grant(right, on string) { u.rights = append(u.rights, right+" "+on) }

// may reports whether the user has a right on a database or topic.
func (u *user) may(right, on string) bool {
	if u.super {
		return true
	}
	for _, r := range []string{right, "all"} {
		if slices.Contains(u.rights, r+" "+on) || slices.Contains(u.rights, r+" *") {
			return true
		}
	}
	return false
}

// login finds the user of a name and password. n.mu is held.
func (n *Node) login(name, password string) (*user, error) {
	u := n.users[name]
	switch {
	case u == nil || u.password != password:
		return nil, errAuth
	case !u.enabled:
		return nil, failure(codeDisabled, "User is disabled")
	}
	return u, nil
}

func (s *session) onlySuper() error {
	if !s.user.super {
		return failure(codeRights, "Insufficient privilege for operation")
	}
	return nil
}

func (s *session) createUser(p *parser) (*result, error) {
	name := p.ident()
	p.expect("pass")
	u := &user{name: name, password: p.str(), enabled: true, created: time.Now()}
	for p.peek().kind == tokenIdent {
		if p.accept("createdb") {
			u.createDB = p.integer() == 1
			continue
		}
		p.ident()
		p.next()
	}
	p.end()
	if err := s.onlySuper(); err != nil {
		return nil, err
	}
	if s.n.users[name] != nil {
		return nil, failure(codeUserExists, "User already exists")
	}
	s.n.users[name] = u
	return &result{}, nil
}

func (s *session) alterUser(p *parser) (*result, error) {
	u := s.n.users[p.ident()]
	if u == nil {
		return nil, failure(codeUser, "Invalid user")
	}
	if u != s.user {
		if err := s.onlySuper(); err != nil {
			return nil, err
		}
	}
	switch {
	case p.accept("pass"):
		u.password = p.str()
	case p.accept("enable"):
		u.enabled = p.integer() == 1
	case p.accept("createdb"):
		u.createDB = p.integer() == 1
	default:
		p.fail()
	}
	p.end()
	return &result{}, nil
}

func (s *session) dropUser(p *parser) (*result, error) {
	ifExists := p.ifExists()
	name := p.ident()
	p.end()
	if err := s.onlySuper(); err != nil {
		return nil, err
	}
	if s.n.users[name] == nil && !ifExists {
		return nil, failure(codeUser, "Invalid user")
	}
	delete(s.n.users, name)
	return &result{}, nil
}

// grant is grant and revoke of read, write, all on a database, or subscribe on
// a topic.
func (s *session) grant(p *parser, give bool) (*result, error) {
	right := p.ident()
	if !slices.Contains([]string{"read", "write", "all", "subscribe"}, right) {
		p.at--
		p.fail()
	}
	p.expect("on")
	on := "*"
	if !p.accept("*") {
		on = p.ident()
	}
	if p.accept(".") && !p.accept("*") {
		p.ident()
	}
	if give {
		p.expect("to")
	} else {
		p.expect("from")
	}
	u := s.n.users[p.ident()]
	p.end()
	if err := s.onlySuper(); err != nil {
		return nil, err
	}
	if u == nil {
		return nil, failure(codeUser, "Invalid user")
	}
	u.rights = slices.DeleteFunc(u.rights, func(r string) bool { return r == right+" "+on })
	if give {
		u.grant(right, on)
	}
	return &result{}, nil
}
