package config

import (
	"fmt"
	"regexp"
	"time"
)

// replicaID is what an operator may choose as a replica's id.
var replicaID = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)

// GroupName is what a shared consumer group may be called.
var GroupName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$`)

// replicas checks each declared replica, and that no two are the same.
func (v *validator) replicas() {
	ids := map[string]string{}
	pairs := map[[2]string]string{}
	for i := range v.config.Replicas {
		r := &v.config.Replicas[i]
		path := index("replica", i)
		v.settings(path, r)
		if r.ID != "" {
			if first, ok := ids[r.ID]; ok {
				v.problem(join(path, "id"), "= %q is the id of another replica (%s); each needs its own", r.ID, v.where(first))
			} else {
				ids[r.ID] = join(path, "id")
			}
		}
		source, ok1 := v.side(join(path, "source"), r.Source)
		sink, ok2 := v.side(join(path, "sink"), r.Sink)
		if !ok1 || !ok2 {
			continue
		}
		pair := [2]string{source.String(), sink.String()}
		switch first, twice := pairs[pair]; {
		case pair[0] == pair[1]:
			v.problem(join(path, "sink"), "is the same endpoint as the source: %s", source)
		case twice:
			v.problem(path, "has the same source and sink as another replica (%s): %s → %s; add its databases to that one", v.where(first), source, sink)
		default:
			pairs[pair] = path
		}
	}
}

// where says in which line a path stands.
func (v *validator) where(path string) string {
	if p := v.at(v.places.values, path, ""); p.Line > 0 {
		return fmt.Sprintf("line %d", p.Line)
	}
	return path
}

// side resolves a source or a sink to its canonical address.
func (v *validator) side(path, ref string) (Address, bool) {
	switch {
	case v.bad[path]:
		return Address{}, false
	case ref == "":
		v.problem(path, "is missing; expected http://HOST:PORT or the name of an endpoint")
		return Address{}, false
	}
	if ep, ok := v.config.Endpoints[ref]; ok {
		address, _, err := ParseAddress(ep.URL)
		return address, err == nil // the endpoint's own check has told why
	}
	if EndpointName(ref) {
		text := fmt.Sprintf("= %q is neither a URL nor an endpoint; declare [endpoints.%s] or write http://HOST:PORT", ref, ref)
		if meant := closest(ref, sortedKeys(v.config.Endpoints)); meant != "" {
			text += fmt.Sprintf(" (did you mean %q?)", meant)
		}
		v.problem(path, "%s", text)
		return Address{}, false
	}
	address, _, ok := v.address(path, ref)
	return address, ok
}

func (v *validator) settings(path string, r *Replica) {
	if r.ID != "" && !replicaID.MatchString(r.ID) {
		v.problem(join(path, "id"), "= %q is not an id; allowed: a small letter, then up to 31 small letters, digits and -", r.ID)
	}
	for _, list := range []struct {
		key      string
		patterns []string
	}{{"databases", r.Databases}, {"exclude", r.Exclude}} {
		for i, p := range list.patterns {
			at := index(join(path, list.key), i)
			if text := patternProblem(p); text != "" && !v.bad[at] {
				v.problem(at, "= %q %s", p, text)
			}
		}
	}
	v.seconds(join(path, "new_database_checking_interval"), r.CheckInterval, time.Second, 30*24*time.Hour)
	v.limit(join(path, "max_bytes_per_second"), r.MaxBytesPerSecond)
	if r.GroupName != "" && !GroupName.MatchString(r.GroupName) {
		v.problem(join(path, "group_name"), "= %q is no name for a group; allowed: up to 64 letters, digits, - and _", r.GroupName)
	}
	v.word(join(path, "start_from"), r.StartFrom, "earliest", "latest")
	v.seconds(join(path, "hold_wal_limit"), r.HoldWALLimit, 0, 365*24*time.Hour)
	v.seconds(join(path, "max_lag"), r.MaxLag, 0, 365*24*time.Hour)
	v.seconds(join(path, "max_interrupted"), r.MaxInterrupted, 0, 365*24*time.Hour)
}

// limit is none at all, or one with which even a big message is paid for in time.
func (v *validator) limit(path string, found Bytes) {
	if low := Bytes(64 << 10); found != 0 && found < low {
		v.problem(path, "= %v is out of range; allowed: 0B (no limit), or %v or more", found, low)
	}
}
