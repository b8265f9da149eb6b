package config

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// UnmarshalText reads "500ms", "30s", "5m", "1h30m". A number without a unit is
// refused: whoever wrote it may have meant something else.
func (d *Duration) UnmarshalText(text []byte) error {
	s := string(text)
	v, err := time.ParseDuration(s)
	if err != nil || strings.Trim(s, "+-0123456789.") == "" {
		return errors.New(`is not a duration; expected a number with its unit, such as "500ms", "30s", "5m" or "1h30m"`)
	}
	if v < 0 {
		return errors.New("is a negative duration; expected 0s or more")
	}
	d.Duration = v
	return nil
}

// MarshalText writes the shortest form that UnmarshalText reads back: "30m".
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// String is the duration as the configuration has it: "30m", not "30m0s".
func (d Duration) String() string {
	s := d.Duration.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// UnmarshalText reads a number from 1 to 64, or "auto".
func (w *Workers) UnmarshalText(text []byte) error {
	if string(text) == "auto" {
		*w = 0
		return nil
	}
	n, err := strconv.Atoi(string(text))
	if err != nil || n < 1 || n > 64 {
		return errors.New(`is no number of workers; expected 1 to 64, or "auto"`)
	}
	*w = Workers(n)
	return nil
}

// MarshalText writes the form that UnmarshalText reads back.
func (w Workers) MarshalText() ([]byte, error) { return []byte(w.String()), nil }

func (w Workers) String() string {
	if w == 0 {
		return "auto"
	}
	return strconv.Itoa(int(w))
}

// byteUnits are tried longest first, for "B" is the end of each of the others.
var byteUnits = []struct {
	name string
	size int64
}{{"GB", 1 << 30}, {"MB", 1 << 20}, {"KB", 1 << 10}, {"B", 1}}

// UnmarshalText reads "512B", "64KB", "64MB", "2GB"; units are powers of 1024.
func (b *Bytes) UnmarshalText(text []byte) error {
	s := strings.ToUpper(strings.TrimSpace(string(text)))
	for _, u := range byteUnits {
		digits, ok := strings.CutSuffix(s, u.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
		if err != nil || n < 0 || n > math.MaxInt64/u.size {
			break
		}
		*b = Bytes(n * u.size)
		return nil
	}
	return errors.New(`is not a size; expected a whole number with its unit, such as "512KB", "64MB" or "2GB"`)
}

// MarshalText writes the form that UnmarshalText reads back: "64MB".
func (b Bytes) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// String is the size in the largest unit that holds it exactly: "64MB".
func (b Bytes) String() string {
	for _, u := range byteUnits {
		if n := int64(b); n >= u.size && n%u.size == 0 {
			return fmt.Sprintf("%d%s", n/u.size, u.name)
		}
	}
	return fmt.Sprintf("%dB", int64(b))
}
