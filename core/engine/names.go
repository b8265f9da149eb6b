package engine

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// Names of topics and groups are identifiers of at most 192 bytes (docs/protocol.md,
// "Topics"); a group may hold no colon. Database names have at most 64 bytes, so
// only characters can be in the way.
const maxName = 192

// topicName is the topic that all replicas of a database share.
func topicName(database string) string { return identifier("tdr_" + database) }

// groupName is unique to the instance, the replica and the database: two
// instances that happened to share a group would each get half of the vgroups.
func groupName(instance, replica, database string) string {
	return identifier("tdr." + instance + "." + replica + "." + database)
}

// identifier keeps a name as it is if it is plain, and otherwise replaces what
// is not and adds a digest, so that different names stay different.
func identifier(name string) string {
	plain := strings.Map(func(c rune) rune {
		switch {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '_', c == '.':
			return c
		}
		return '_'
	}, name)
	if plain == name && len(name) <= maxName {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	return plain[:min(len(plain), maxName-17)] + "_" + hex.EncodeToString(sum[:8])
}
