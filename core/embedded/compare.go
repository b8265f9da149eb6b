package embedded

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// arithmetic computes with times, durations and numbers; whole numbers stay
// whole but for division.
func arithmetic(op string, l, r any) any {
	if d, ok := r.(time.Duration); ok {
		if op == "-" {
			d = -d
		}
		switch t := l.(type) {
		case time.Time:
			return t.Add(d)
		case stamp:
			return stamp{t.ticks + int64(d)/(1e9/t.prec.perSecond()), t.prec}
		case time.Duration:
			return t + d
		}
		return nil
	}
	a, aWhole := toInt(l)
	b, bWhole := toInt(r)
	if aWhole && bWhole && op != "/" && (op != "%" || b != 0) {
		switch op {
		case "+":
			return a + b
		case "-":
			return a - b
		case "*":
			return a * b
		default:
			return a % b
		}
	}
	x, xok := toFloat(l)
	y, yok := toFloat(r)
	if !xok || !yok {
		return nil
	}
	switch op {
	case "+":
		return x + y
	case "-":
		return x - y
	case "*":
		return x * y
	case "%":
		return math.Mod(x, y)
	}
	if y == 0 {
		return nil
	}
	return x / y
}

func toInt(v any) (int64, bool) {
	switch v := v.(type) {
	case int64:
		return v, true
	case uint64:
		return int64(v), v <= math.MaxInt64
	case number:
		n, err := strconv.ParseInt(string(v), 0, 64)
		return n, err == nil
	}
	return 0, false
}

func toFloat(v any) (float64, bool) {
	switch v := v.(type) {
	case float64:
		return v, true
	case float32:
		return float64(v), true
	case uint64:
		return float64(v), true
	case bool:
		return float64(flag(v)), true
	case string:
		f, err := strconv.ParseFloat(v, 64)
		return f, err == nil
	case number:
		f, err := strconv.ParseFloat(string(v), 64)
		return f, err == nil
	}
	n, ok := toInt(v)
	return float64(n), ok
}

// compare orders two values: times as times, numbers as numbers, else as text.
func compare(l, r any) int {
	if c, ok := compareTimes(l, r); ok {
		return c
	}
	if c, ok := compareTimes(r, l); ok {
		return -c
	}
	a, aWhole := toInt(l)
	b, bWhole := toInt(r)
	if aWhole && bWhole {
		return order(a, b)
	}
	if _, text := l.(string); !text || isNumeric(r) {
		x, xok := toFloat(l)
		y, yok := toFloat(r)
		if xok && yok {
			return order(x, y)
		}
	}
	return strings.Compare(literalText(l), literalText(r))
}

func isNumeric(v any) bool {
	switch v.(type) {
	case int64, uint64, float32, float64, number, bool:
		return true
	}
	return false
}

func order[T int64 | float64](a, b T) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	default:
		return 0
	}
}

// compareTimes compares when l is a stamp.
func compareTimes(l, r any) (int, bool) {
	s, ok := l.(stamp)
	if !ok {
		return 0, false
	}
	if t, isStamp := r.(stamp); isStamp && t.prec == s.prec {
		return order(s.ticks, t.ticks), true
	}
	if t, isTime := r.(time.Time); isTime {
		return order(s.ticks, ticksOf(t, s.prec)), true
	}
	n, err := toTicks(r, s.prec)
	return order(s.ticks, n), err == nil
}

// like matches % and _ as SQL does.
func like(s, pattern string) bool {
	if pattern == "" {
		return s == ""
	}
	switch pattern[0] {
	case '%':
		for i := 0; i <= len(s); i++ {
			if like(s[i:], pattern[1:]) {
				return true
			}
		}
		return false
	case '_':
		return s != "" && like(s[1:], pattern[1:])
	default:
		return s != "" && s[0] == pattern[0] && like(s[1:], pattern[1:])
	}
}
