package store

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"strconv"

	bolt "go.etcd.io/bbolt"
)

// The file's own library checks two pages of it. So that a disk that gives back
// something else is not believed, every record ends with a checksum over its
// bucket, its key and its value, and one more stands for all replicas and tasks
// together: a record that is gone is noticed, too. Files of format 1 have none;
// they get them when an instance opens them.

// errDamaged is a record that is not what was written.
var errDamaged = errors.New("the checksum does not fit")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

const sealSize = 4

func seal(bucket, key, value []byte) []byte {
	return binary.BigEndian.AppendUint32(slices.Clone(value), checksum(bucket, key, value))
}

func checksum(bucket, key, value []byte) uint32 {
	sum := crc32.Update(0, castagnoli, bucket)
	sum = crc32.Update(sum, castagnoli, []byte{0})
	sum = crc32.Update(sum, castagnoli, binary.BigEndian.AppendUint32(nil, uint32(len(key))))
	sum = crc32.Update(sum, castagnoli, key)
	return crc32.Update(sum, castagnoli, value)
}

// unseal returns the value of a record, which is valid as long as v is.
func unseal(tx *bolt.Tx, bucket, key, v []byte) ([]byte, error) {
	if formatOf(tx) < 2 {
		return v, nil
	}
	n := len(v) - sealSize
	if n < 0 || binary.BigEndian.Uint32(v[n:]) != checksum(bucket, key, v[:n]) {
		return nil, fmt.Errorf("record %q of %s: %w", key, bucket, errDamaged)
	}
	return v[:n], nil
}

// write puts a sealed record, or deletes one if v is nil.
func write(tx *bolt.Tx, bucket, key, v []byte) error {
	b := tx.Bucket(bucket)
	if inTotal(bucket) {
		meta := tx.Bucket(bucketMeta)
		total := totalOf(meta.Get(keyTotal)) ^ sealOf(b.Get(key)) ^ sealOf(v)
		if err := meta.Put(keyTotal, binary.BigEndian.AppendUint32(nil, total)); err != nil {
			return err
		}
	}
	if v == nil {
		return b.Delete(key)
	}
	return b.Put(key, v)
}

// inTotal names the buckets of which nothing may be missing. Events come and go.
func inTotal(bucket []byte) bool {
	return string(bucket) == string(bucketReplicas) || string(bucket) == string(bucketTasks)
}

func totalOf(v []byte) uint32 {
	if len(v) != sealSize {
		return 0
	}
	return binary.BigEndian.Uint32(v)
}

func sealOf(v []byte) uint32 {
	if len(v) < sealSize {
		return 0
	}
	return binary.BigEndian.Uint32(v[len(v)-sealSize:])
}

// checkTotal finds records that are gone, or came back.
func checkTotal(tx *bolt.Tx) error {
	if formatOf(tx) < 2 {
		return nil
	}
	var total uint32
	for _, bucket := range [][]byte{bucketReplicas, bucketTasks} {
		if err := tx.Bucket(bucket).ForEach(func(_, v []byte) error { total ^= sealOf(v); return nil }); err != nil {
			return err
		}
	}
	if total != totalOf(tx.Bucket(bucketMeta).Get(keyTotal)) {
		return fmt.Errorf("the replicas and tasks together: %w", errDamaged)
	}
	return nil
}

// formatOf is the file's format, 0 if it tells none.
func formatOf(tx *bolt.Tx) int {
	n, err := strconv.Atoi(string(tx.Bucket(bucketMeta).Get(keyFormat)))
	if err != nil {
		return 0
	}
	return n
}

// upgrade seals the records of a file of format 1.
func upgrade(tx *bolt.Tx) error {
	if tx.Bucket(bucketMeta) == nil || formatOf(tx) != 1 {
		return nil
	}
	for _, bucket := range [][]byte{bucketReplicas, bucketTasks, bucketEvents, bucketMeta} {
		var keys, values [][]byte
		err := tx.Bucket(bucket).ForEach(func(k, v []byte) error {
			if string(bucket) == string(bucketMeta) && string(k) != string(keyID) && string(k) != string(keyInstance) {
				return nil
			}
			if string(k) != string(keyID) && !json.Valid(v) {
				return fmt.Errorf("record %q of %s: %w", k, bucket, errDamaged)
			}
			keys, values = append(keys, slices.Clone(k)), append(values, seal(bucket, k, v))
			return nil
		})
		if err != nil {
			return err
		}
		for i := range keys {
			// What stands there has no checksum that the total could hold.
			if err := tx.Bucket(bucket).Delete(keys[i]); err != nil {
				return err
			}
			if err := write(tx, bucket, keys[i], values[i]); err != nil {
				return err
			}
		}
	}
	return tx.Bucket(bucketMeta).Put(keyFormat, []byte(strconv.Itoa(Format)))
}
