package taos

import (
	"encoding/json"
	"strconv"
)

// envelope is what all JSON replies have in common.
type envelope struct {
	code    int
	message string
	action  string
	reqID   uint64
}

// decodeEnvelope reads a reply's common fields; ok is false for a text that is
// no reply.
func decodeEnvelope(text []byte) (e envelope, ok bool) {
	coded := false
	plain := eachField(text, func(key, value []byte) bool {
		switch string(key) {
		case "code":
			n, ok := integer(value)
			e.code, coded = int(n), ok
			return ok
		case "message":
			s, ok := plainText(value)
			e.message = string(s)
			return ok
		case "action":
			s, ok := plainText(value)
			e.action = actionName(s)
			return ok
		case "req_id":
			n, ok := natural(value)
			e.reqID = n
			return ok
		}
		return true
	})
	if plain {
		return e, coded
	}
	var any struct {
		Code    *int   `json:"code"`
		Message string `json:"message"`
		Action  string `json:"action"`
		ReqID   uint64 `json:"req_id"`
	}
	if err := json.Unmarshal(text, &any); err != nil || any.Code == nil {
		return envelope{}, false
	}
	return envelope{*any.Code, any.Message, any.Action, any.ReqID}, true
}

// actionName makes no new string of the names that come with every message.
func actionName(b []byte) string {
	switch string(b) {
	case actionPoll:
		return actionPoll
	case actionWriteRaw:
		return actionWriteRaw
	}
	return string(b)
}

type pollReply struct {
	HaveMessage bool   `json:"have_message"`
	Topic       string `json:"topic"`
	VgroupID    int32  `json:"vgroup_id"`
	MessageType int32  `json:"message_type"`
	MessageID   uint64 `json:"message_id"`
	Offset      int64  `json:"offset"`
}

// decode reads the reply to a poll. The topic is the expected one most of the
// time, and then no new string.
func (p *pollReply) decode(text []byte, topic string) error {
	*p = pollReply{}
	plain := eachField(text, func(key, value []byte) (ok bool) {
		switch string(key) {
		case "have_message":
			p.HaveMessage = string(value) == "true"
			return p.HaveMessage || string(value) == "false"
		case "topic":
			s, ok := plainText(value)
			if p.Topic = topic; string(s) != topic {
				p.Topic = string(s)
			}
			return ok
		case "vgroup_id":
			p.VgroupID, ok = small(value)
		case "message_type":
			p.MessageType, ok = small(value)
		case "message_id":
			p.MessageID, ok = natural(value)
		case "offset":
			p.Offset, ok = integer(value)
		default:
			ok = true
		}
		return ok
	})
	if plain {
		return nil
	}
	*p = pollReply{}
	return json.Unmarshal(text, p)
}

// eachField calls field for each member of a JSON object that is as plain as
// the adapter's replies to poll and write: keys of small letters, digits and _;
// values that are whole numbers, words or ASCII strings without escapes. It
// returns false for any other text, valid or not, and when field does: then
// encoding/json, which allocates for each field, is to be asked.
func eachField(text []byte, field func(key, value []byte) bool) bool {
	rest, ok := mark(text, '{')
	if !ok {
		return false
	}
	for {
		key := token(rest)
		name, ok := plainText(key)
		if !ok || !isKey(name) {
			return false
		}
		if rest, ok = mark(rest[len(key):], ':'); !ok {
			return false
		}
		value := token(rest)
		if len(value) == 0 || !field(name, value) {
			return false
		}
		rest = space(rest[len(value):])
		if len(rest) == 0 {
			return false
		}
		if rest[0] == '}' {
			return len(space(rest[1:])) == 0
		}
		if rest, ok = mark(rest, ','); !ok {
			return false
		}
	}
}

func space(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t' || b[0] == '\n' || b[0] == '\r') {
		b = b[1:]
	}
	return b
}

// mark steps over one character and the space around it.
func mark(b []byte, c byte) ([]byte, bool) {
	b = space(b)
	if len(b) == 0 || b[0] != c {
		return nil, false
	}
	return space(b[1:]), true
}

func isKey(b []byte) bool {
	for _, c := range b {
		if c != '_' && (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}

// token returns the plain value that b begins with, empty if it does not.
func token(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	if b[0] == '"' {
		for i := 1; i < len(b); i++ {
			switch c := b[i]; {
			case c == '"':
				return b[:i+1]
			case c < ' ' || c >= 0x7f || c == '\\':
				return nil
			}
		}
		return nil
	}
	n := 0
	for n < len(b) && (b[n] == '-' || b[n] >= '0' && b[n] <= '9' || b[n] >= 'a' && b[n] <= 'z') {
		n++
	}
	switch word := b[:n]; string(word) {
	case "true", "false", "null":
		return word
	default:
		if isNumber(word) {
			return word
		}
		return nil
	}
}

// isNumber tells whole numbers as JSON has them: no sign but -, no zero in front.
func isNumber(b []byte) bool {
	if len(b) > 0 && b[0] == '-' {
		b = b[1:]
	}
	if len(b) == 0 || b[0] == '0' && len(b) > 1 {
		return false
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

func plainText(token []byte) ([]byte, bool) {
	if len(token) < 2 || token[0] != '"' {
		return nil, false
	}
	return token[1 : len(token)-1], true
}

func integer(token []byte) (int64, bool) {
	n, err := strconv.ParseInt(string(token), 10, 64)
	return n, err == nil
}

func natural(token []byte) (uint64, bool) {
	n, err := strconv.ParseUint(string(token), 10, 64)
	return n, err == nil
}

func small(token []byte) (int32, bool) {
	n, err := strconv.ParseInt(string(token), 10, 32)
	return int32(n), err == nil
}
