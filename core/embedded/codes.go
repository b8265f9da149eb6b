package embedded

import "fmt"

// The error codes the node answers with: TDengine's, cut to 16 bits.
const (
	codeUnreachable     = 0x000B
	codeTimestamp       = 0x060B
	codeInvalidPara     = 0x0118
	codeRights          = 0x0303
	codeDisabled        = 0x0315
	codeUserExists      = 0x0350
	codeUser            = 0x0351
	codeAuth            = 0x0357
	codeStableExists    = 0x0360
	codeStableMissing   = 0x0362
	codeTagExists       = 0x0369
	codeTagMissing      = 0x036A
	codeColumnExists    = 0x036B
	codeColumnMissing   = 0x036C
	codeDBExists        = 0x0381
	codeDBMissing       = 0x0388
	codeWALZero         = 0x038C
	codeSchemaVersion   = 0x03C6
	codeConflict        = 0x03D3
	codeTopicExists     = 0x03E0
	codeTopicMissing    = 0x03E1
	codeConsumerMissing = 0x03E6
	codeGroupMissing    = 0x03E8
	codeTopicUsed       = 0x03EB
	codeGroupUsed       = 0x03EC
	codeDBTopics        = 0x03ED
	codeVgroupAction    = 0x0524
	codeVgroupColExists = 0x0525
	codeVgroupColNone   = 0x0526
	codeTableExists     = 0x0603
	codeOtherSuper      = 0x061D
	codeOperation       = 0x0200
	codeSyntax          = 0x2600
	codeInvalidColumn   = 0x2602
	codeFunction        = 0x2802
	codeNowhere         = 0x2507
	codeTableMissing    = 0x2603
	codeValueTooLong    = 0x2605
	codeNoDatabase      = 0x2616
	codePermission      = 0x2644
	codeKeyPlace        = 0x2678
	codeKeyType         = 0x2679
	codeKeyFixed        = 0x267A
	codeKeyNull         = 0x267B
	codeKeyNone         = 0x267C
	codeGroups          = 0x4005
	codeSnapshot        = 0x4006
	codeOffsetRange     = 0x4007
	codeOffsetVgroup    = 0x4008
	codeOffsetTopic     = 0x4009
	codeOffsetUnknown   = 0x4010
	codeAdapter         = 0xffff // errors the adapter makes itself
	codeMinusTwo        = 0xfffe // what is left of -2
)

// fault is an error as a client sees it.
type fault struct {
	code int
	text string
}

func (f *fault) Error() string { return fmt.Sprintf("[0x%04X] %s", f.code, f.text) }

func failure(code int, format string, args ...any) error {
	return &fault{code, fmt.Sprintf(format, args...)}
}

// asFault gives any error the form that goes to a client.
func asFault(err error) *fault {
	if f, ok := err.(*fault); ok {
		return f
	}
	return &fault{codeAdapter, err.Error()}
}

func syntaxError(near string) error {
	return failure(codeSyntax, "syntax error near %q", near)
}

var (
	errTableMissing = &fault{codeTableMissing, "Table does not exist"}
	errDBMissing    = &fault{codeDBMissing, "Database not exist"}
	errNoDatabase   = &fault{codeNoDatabase, "Database not specified"}
	errInvalidPara  = &fault{codeInvalidPara, "Invalid parameters"}
	errUnreachable  = &fault{codeUnreachable, "Unable to establish connection"}
	errTooOld       = &fault{codeTimestamp, "Timestamp data out of range"}
	errAuth         = &fault{codeAuth, "Authentication failure"}
	errPermission   = &fault{codePermission, "Permission denied or target object not exist"}
)
