package taos

import (
	"strings"

	"tdreplica/core"
)

// codeAdapter marks errors that the adapter made itself, and failures of the
// client library without a code; only the text tells them apart.
const codeAdapter = 0xffff

// Codes that the code decides on by name.
const (
	codeNotAlive       = 0x000B // the adapter cannot reach taosd
	codeInvalidParam   = 0x0118
	codeNoRights       = 0x0303
	codeUserUnknown    = 0x0351
	codeAuthFailure    = 0x0357
	codeTopicUnknown   = 0x03E1
	codeGroupUnknown   = 0x03E8
	codeTopicInUse     = 0x03EB
	codeGroupInUse     = 0x03EC
	codeTableMissing   = 0x2603
	codeTableGone      = 0x0618
	codeTopicNotOurs   = 0x4009
	codeOffsetNotKnown = 0x4010 // ask for the assignment first
	codeOffsetSame     = 0x4012
	codeBusy           = 0xfffe // of the adapter, and what is left of -2
)

// classes is the table of docs/protocol.md §7: what a replicator does about
// each code. A code that is not in it is judged by who asked.
var classes = map[core.Class][]int{
	core.ClassRetry: {
		0x0111, 0x0125, 0x0531, 0x0532, 0x0916, 0x0918, 0x0917, 0x0911, 0x0914, 0x090C, 0x0903, 0x09FF,
		0x0386, 0x03D3, 0x03EF, 0x03EA, 0x4001, 0x0503, 0x0520, 0x0522, 0x0529, 0x0396, 0x0408, 0x2504, 0x012C,
		0x0130, 0x0131, 0x0A0E,
	},
	core.ClassReconnect: {
		codeNotAlive, 0x0015, 0x0018, 0x0019, 0x0020, 0x0021, 0x0022, 0x0023, 0x0024, 0x020B, 0x0213,
		0x0215, 0x022D, 0x03E6, codeGroupUnknown, 0x4002, 0x4003, 0x4017,
	},
	core.ClassWait: {
		0x0102, 0x0126, 0x012B, 0x012E, 0x2207, 0x2208, codeBusy,
	},
	core.ClassOperator: {
		0x0003, codeUserUnknown, 0x0353, codeAuthFailure, 0x0315, codeNoRights, 0x2644, 0x0214, 0x0512, 0x0013, 0x011E,
		0x0388, 0x0380, 0x0383, 0x0217, 0x2616, codeTopicUnknown, 0x038C, 0x4004, 0x4005, 0x03ED, 0xfffd,
		0x0334, 0x1105, 0x1122, 0x1124, 0x1125, 0x2662,
	},
	core.ClassData: {
		codeInvalidParam, 0x03C6, 0x03C7, 0x0602, 0x0603, codeTableGone, codeTableMissing, 0x0218, 0x0362, 0x061B, 0x061D,
		0x060B, 0x0525, 0x0526, 0x0527, 0x4018, 0x0115, 0x4000, 0x0216, 0x2600, 0x2602, 0x2617, 0x03C5,
		0x267B, 0x267C,
	},
	core.ClassOffset: {
		0x4006, 0x4007, 0x4008, codeTopicNotOurs, codeOffsetNotKnown, 0x4011, codeOffsetSame, 0x0A0D, 0x1005,
	},
	core.ClassDone: {
		0x03E0, 0x0381, 0x0360, codeTopicInUse, codeGroupInUse,
	},
}

// The licence's codes are a range: too many time series, expired, and so on.
const (
	licenceFirst = 0x0800
	licenceLast  = 0x0826
)

var classByCode = func() map[int]core.Class {
	byCode := make(map[int]core.Class)
	for class, codes := range classes {
		for _, code := range codes {
			byCode[code] = class
		}
	}
	for code := licenceFirst; code <= licenceLast; code++ {
		byCode[code] = core.ClassWait
	}
	return byCode
}()

// adapterTexts are the texts that come with codeAdapter, in lower case.
var adapterTexts = []struct {
	part  string
	class core.Class
}{
	{"tmq not init", core.ClassReconnect},
	{"server not connected", core.ClassReconnect},
	{"message has been freed", core.ClassReconnect},
	{"message id is not equal", core.ClassReconnect},
	{"message id are not equal", core.ClassReconnect},
	{"message is nil", core.ClassReconnect},
	{"tmq should have unsubscribed first", core.ClassReconnect},
	{"duplicate connections", core.ClassReconnect},
	{"whitelist", core.ClassOperator},
	{"authentication failure", core.ClassOperator},
	{"invalid user", core.ClassOperator},
	{"unavailable tmq type", core.ClassOperator},
	{"unknown binary action", core.ClassOperator},
	{"unknown action", core.ClassOperator},
}

// classify says what to do about a code and its text. What the table does not
// know gets the class that is right for the asker: a sink must not skip what it
// does not understand, a source can be opened anew.
func classify(code int, text string, unknown core.Class) core.Class {
	if code == codeAdapter {
		lower := strings.ToLower(text)
		for _, t := range adapterTexts {
			if strings.Contains(lower, t.part) {
				return t.class
			}
		}
		return core.ClassReconnect
	}
	if class, ok := classByCode[code]; ok {
		return class
	}
	return unknown
}

// unknownOf is the class of unknown codes in reply to an action.
func unknownOf(action string) core.Class {
	if action == actionWriteRaw || action == actionNameBlock {
		return core.ClassData
	}
	return core.ClassReconnect
}

const (
	hintRights  = "let an administrator grant the user the rights on the database and its topic"
	hintDisk    = "free disk space at the server, or add some"
	hintLicence = "the server's licence has expired or its limit is reached"
	hintNoTaosd = "is taosd running behind that taosAdapter?"
)

// hints tell an operator what to do about a code.
var hints = map[int]string{
	codeNotAlive:     hintNoTaosd,
	0x0003:           "check the user and the password",
	codeUserUnknown:  "check the user and the password",
	0x0353:           "check the user and the password",
	codeAuthFailure:  "check the user and the password",
	0x0315:           "the user is disabled: alter user U enable 1",
	codeNoRights:     hintRights,
	0x2644:           hintRights,
	0x0214:           hintRights,
	0x0512:           hintRights,
	0x0013:           "the clocks of the client and the server differ: synchronise them",
	0x0388:           "create the database, or let it be created with --create-databases",
	0x0380:           "create the database, or let it be created with --create-databases",
	0x0386:           "the database is being dropped",
	codeTopicUnknown: "the topic was dropped: restart the task to create it again",
	0x038C:           "run: alter database D wal_retention_period 604800",
	0x4004:           "raise tmqMaxTopicNum at the server, or drop topics nobody reads",
	0x4005:           "drop consumer groups of this topic that nobody uses",
	0x03ED:           "topics read this database: drop them first",
	0x0334:           "the server has too few nodes for the database's replicas",
	0x0102:           "the server is out of memory",
	0x012B:           hintDisk,
	0x012E:           hintDisk,
	0x2207:           hintDisk,
	0x2208:           hintDisk,
	codeBusy:         "the adapter's limit of concurrent requests is reached",
	0x060B:           "the row's time is outside of what KEEP allows at the sink: compare KEEP on both sides",
	0x1005:           "the server deleted WAL that was not yet read",
}

func hintFor(code int) string {
	if code >= licenceFirst && code <= licenceLast {
		return hintLicence
	}
	return hints[code]
}
