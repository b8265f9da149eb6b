package embedded

import (
	"slices"
	"strconv"
	"strings"
)

// databaseOptions takes the options of create and alter database.
func (p *parser) databaseOptions() map[string]string {
	options := map[string]string{}
	for p.peek().kind == tokenIdent {
		start := p.at
		name := strings.ToUpper(p.ident())
		known := slices.ContainsFunc(optionDefaults[:], func(o [2]string) bool { return o[0] == name })
		if !known && !slices.Contains(otherOptions, name) {
			p.at = start
			p.fail()
		}
		value := p.optionValue()
		for p.accept(",") {
			value += "," + p.optionValue()
		}
		if known {
			if !validOption(name, value) {
				panic(failure(codeInvalidPara, "Invalid option %s %s", strings.ToLower(name), value))
			}
			options[name] = value
		}
	}
	p.end()
	return options
}

func (p *parser) optionValue() string {
	sign := ""
	if p.accept("-") {
		sign = "-"
	}
	t := p.next()
	switch t.kind {
	case tokenString:
		return "'" + strings.ToLower(t.text) + "'"
	case tokenNumber:
		return sign + t.text
	}
	p.at--
	p.fail()
	return ""
}

func validOption(name, value string) bool {
	n, err := strconv.ParseInt(value, 10, 64)
	switch name {
	case "VGROUPS":
		return err == nil && n >= 1 && n <= 1024
	case "WAL_RETENTION_PERIOD", "WAL_RETENTION_SIZE":
		return err == nil && n >= -1
	case "PRECISION":
		return slices.Contains(precisionNames[:], strings.Trim(value, "'"))
	case "KEEP":
		for _, part := range strings.Split(value, ",") {
			if _, ok := parseDuration(part, durationUnits['d']); !ok {
				return false
			}
		}
	}
	return true
}

func (s *session) createDatabase(p *parser) (*result, error) {
	ifNot := p.ifNotExists()
	name := p.ident()
	options := p.databaseOptions()
	if !s.user.super && !s.user.createDB {
		return nil, errPermission
	}
	if s.n.databases[name] != nil {
		if ifNot {
			return &result{}, nil
		}
		return nil, failure(codeDBExists, "Database already exists")
	}
	if keep := options["KEEP"]; keep != "" && !strings.Contains(keep, ",") {
		options["KEEP"] = keep + "," + keep + "," + keep
	}
	s.n.addDatabase(name, options)
	if !s.user.super {
		s.user.grant("all", name)
	}
	return &result{}, nil
}

func (s *session) alterDatabase(p *parser) (*result, error) {
	db, err := s.writable(p.ident())
	if err != nil {
		return nil, err
	}
	options := p.databaseOptions()
	for _, fixed := range []string{"VGROUPS", "PRECISION"} {
		if options[fixed] != "" {
			return nil, failure(codeSyntax, "Invalid option %s in alter database", strings.ToLower(fixed))
		}
	}
	if options["WAL_RETENTION_PERIOD"] == "0" && s.n.hasTopics(db.name) {
		return nil, failure(codeWALZero, "WAL retention period is zero")
	}
	for k, v := range options {
		db.options[k] = v
	}
	for _, vg := range db.vgroups {
		vg.append(entry{kind: kindNoop})
	}
	return &result{}, nil
}

func (s *session) dropDatabase(p *parser) (*result, error) {
	ifExists := p.ifExists()
	name := p.ident()
	p.end()
	if s.n.databases[name] == nil && ifExists {
		return &result{}, nil
	}
	if _, err := s.writable(name); err != nil {
		return nil, err
	}
	if s.n.hasTopics(name) {
		return nil, failure(codeDBTopics, "Database has topics on it, drop them first")
	}
	delete(s.n.databases, name)
	return &result{}, nil
}

// keepVersion is `alter vnode ID set keep version N`: the WAL is kept from there
// on, whatever the retention says.
func (s *session) keepVersion(p *parser) (*result, error) {
	id := int32(p.integer())
	if !p.accept("set", "keep", "version") {
		p.fail()
	}
	version := p.integer()
	p.end()
	for _, db := range s.n.databases {
		for _, vg := range db.vgroups {
			if vg.id == id {
				vg.kept, vg.keep = true, version
				return &result{}, nil
			}
		}
	}
	return nil, failure(codeInvalidPara, "Vgroup does not exist")
}

// splitVgroup replaces a vgroup by two new ones.
func (s *session) splitVgroup(p *parser) (*result, error) {
	id := int32(p.integer())
	p.end()
	for _, db := range s.n.databases {
		if at := slices.IndexFunc(db.vgroups, func(vg *vgroup) bool { return vg.id == id }); at >= 0 {
			db.split(at)
			return &result{}, nil
		}
	}
	return nil, failure(codeInvalidPara, "Vgroup does not exist")
}
