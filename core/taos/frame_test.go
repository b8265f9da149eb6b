package taos

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"github.com/taosdata/driver-go/v3/common"

	"tdreplica/core"
	"tdreplica/core/internal/bounded"
)

// recordedFrames are binary replies of real servers, of both styles.
func recordedFrames(tb testing.TB) (frames [][]byte) {
	for _, version := range []string{"3.3.3.0", "3.3.7.5"} {
		for _, l := range readRecording(tb, version) {
			if l.Dir == "reply" && l.Binary != nil {
				frames = append(frames, l.Binary)
			}
		}
	}
	return append(frames, newFrame(1, 0xffff, "message ID is not equal", 0, nil))
}

// TestLyingFrames: what states another length than it has is refused, in both
// styles.
func TestLyingFrames(t *testing.T) {
	for name, c := range map[string]struct {
		frame  []byte
		length int // where the payload's length stands
	}{
		"new": {newFrame(1, 0, "", core.RawData, []byte("rows")), 52},
		"old": {oldFrame(1, core.RawData, []byte("rows")), 32},
	} {
		f, err := parseRawFrame(c.frame)
		if err != nil || string(c.frame[f.body:]) != "rows" || f.rawType != core.RawData || f.messageID != 1 {
			t.Errorf("%s: %+v, %v", name, f, err)
		}
		for cut := range c.frame {
			if f, err := parseRawFrame(c.frame[:cut]); err == nil {
				t.Errorf("%s: %d bytes of %d were taken for %+v", name, cut, len(c.frame), f)
			}
		}
		for _, length := range []byte{0, 3, 5, 255} {
			lie := bytes.Clone(c.frame)
			lie[c.length] = length
			if f, err := parseRawFrame(lie); err == nil {
				t.Errorf("%s: a stated length of %d was taken for %+v", name, length, f)
			}
		}
	}
	text := newFrame(1, 0xffff, "no", 0, nil)
	text[38] = 200
	if _, err := parseRawFrame(text); err == nil {
		t.Error("an error text longer than its frame was taken")
	}
}

func TestReadFrame(t *testing.T) {
	frames := recordedFrames(t)
	frames = append(frames, []byte("short"), newFrame(1, 0, "", 2, bytes.Repeat([]byte("z"), 3*exactFrame)))
	for _, frame := range frames {
		for name, r := range map[string]io.Reader{
			"whole":   bytes.NewReader(frame),
			"halves":  iotest.HalfReader(bytes.NewReader(frame)),
			"at once": iotest.DataErrReader(bytes.NewReader(frame)),
		} {
			got, err := readFrame(r, make([]byte, newHeadSize), 1<<30)
			if err != nil || !bytes.Equal(got, frame) {
				t.Fatalf("%s: %d of %d bytes, %v", name, len(got), len(frame), err)
			}
		}
	}
}

func TestReadFrameLimit(t *testing.T) {
	big := newFrame(1, 0, "", 2, make([]byte, 5000))
	if _, err := readFrame(bytes.NewReader(big), make([]byte, newHeadSize), 4000); !errors.Is(err, errFrameLimit) {
		t.Errorf("a frame that states its size: %v", err)
	}
	liar := newFrame(1, 0, "", 2, make([]byte, 5000))
	liar[52], liar[53] = 1, 0
	if _, err := readFrame(bytes.NewReader(liar), make([]byte, newHeadSize), 4000); !errors.Is(err, errFrameLimit) {
		t.Errorf("a frame that lies about its size: %v", err)
	}
}

// TestReadFrameMemory: a header that promises 400 MB does not get them before
// they come.
func TestReadFrameMemory(t *testing.T) {
	liar := newFrame(1, 0, "", 2, []byte("little"))
	liar[52], liar[53], liar[54], liar[55] = 0, 0, 0, 0x18
	got, err := readFrame(bytes.NewReader(liar), make([]byte, newHeadSize), 512<<20)
	if err != nil || cap(got) > exactFrame+1024 {
		t.Errorf("%d bytes of memory, %v", cap(got), err)
	}
	big := newFrame(1, 0, "", 2, make([]byte, 3*exactFrame))
	got, err = readFrame(bytes.NewReader(big), make([]byte, newHeadSize), 512<<20)
	if err != nil || cap(got) > len(big)+len(big)/8 {
		t.Errorf("a frame of %d bytes takes %d of memory, %v", len(big), cap(got), err)
	}
}

func FuzzRawFrame(f *testing.F) {
	for _, frame := range recordedFrames(f) {
		f.Add(frame)
		f.Add(frame[:len(frame)/2])
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		var read []byte
		var err error
		// A header is believed up to exactFrame; then it takes trust times what came.
		bounded.Memory(t, len(frame)+exactFrame/50, 4<<20, func() {
			read, err = readFrame(bytes.NewReader(frame), make([]byte, newHeadSize), 512<<20)
		})
		if err == nil && !bytes.Equal(read, frame) {
			t.Fatal("read something else than what came")
		}
		_, _ = frameReqID(frame)
		got, err := parseRawFrame(frame)
		if err != nil || got.code != 0 {
			return
		}
		if got.body < core.FrameHead || got.body >= len(frame) {
			t.Fatalf("the payload starts at %d of %d", got.body, len(frame))
		}
		m := core.Message{Frame: frame, Body: got.body, RawType: got.rawType}
		payload := bytes.Clone(m.Payload())
		out, err := putWriteHead(&m, 1)
		if err != nil || !bytes.Equal(out[core.FrameHead:], payload) {
			t.Fatalf("the payload changed on its way: %v", err)
		}
	})
}

func FuzzReply(f *testing.F) {
	for _, version := range []string{"3.3.3.0", "3.3.7.5"} {
		for _, l := range readRecording(f, version) {
			if l.Dir == "reply" && l.Text != nil {
				f.Add([]byte(l.Text))
			}
		}
	}
	f.Add([]byte(`{"code":0,"req_id":0,"action":"poll"}`))
	f.Add([]byte(`{"code":0,"message":"","action":"poll","req_id":1,"timing":5,"have_message":true,"topic":"t","vgroup_id":-7,"message_type":1,"message_id":18446744073709551615,"offset":9}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		s := newSocket(endpoint{}, Options{})
		c := s.register("poll")
		var err error
		bounded.Memory(t, len(text), 4<<20, func() { err = s.readText(bytes.NewReader(text)) })
		var want pollReply
		var head struct {
			Code    *int   `json:"code"`
			Message string `json:"message"`
			Action  string `json:"action"`
			ReqID   uint64 `json:"req_id"`
		}
		isReply := json.Unmarshal(text, &head) == nil && head.Code != nil
		if isReply != (err == nil) {
			t.Fatalf("a reply: %v, read with %v", isReply, err)
		}
		select {
		case a := <-c.answer:
			if got := (envelope{*head.Code, head.Message, head.Action, head.ReqID}); got != a.envelope {
				t.Fatalf("read %+v, want %+v", a.envelope, got)
			}
			var got pollReply
			wantErr, gotErr := json.Unmarshal(text, &want), got.decode(a.text, "t")
			if (wantErr == nil) != (gotErr == nil) || wantErr == nil && got != want {
				t.Fatalf("read %+v, %v; want %+v, %v", got, gotErr, want, wantErr)
			}
		default:
		}
	})
}

func FuzzREST(f *testing.F) {
	f.Add([]byte(`{"code":0,"column_meta":[["name","VARCHAR",64],["ts","TIMESTAMP",8]],"data":[["a","2026-01-01T00:00:00Z"]],"rows":1}`))
	f.Add([]byte(`{"code":904,"desc":"Database not exist"}`))
	f.Add([]byte(`{"code":0,"column_meta":[["b","VARBINARY",4]],"data":[["zz"]],"rows":1}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		var reply *common.TDEngineRestfulResp
		var err error
		bounded.Memory(t, len(body), 4<<20, func() { reply, err = decodeREST(bytes.NewReader(body)) })
		if err == nil && reply.Code == 0 && len(reply.ColNames) == 0 {
			t.Fatal("a result without columns")
		}
	})
}

// BenchmarkReadFrame is the way of a message from the socket to the decoder: one
// allocation of its size.
func BenchmarkReadFrame(b *testing.B) {
	for name, size := range map[string]int{"1KB": 1 << 10, "100KB": 100 << 10, "4MB": 4 << 20} {
		b.Run(name, func(b *testing.B) {
			frame := newFrame(1, 0, "", 2, make([]byte, size))
			b.SetBytes(int64(len(frame)))
			b.ReportAllocs()
			r := bytes.NewReader(frame)
			for b.Loop() {
				r.Reset(frame)
				got, err := readFrame(r, make([]byte, newHeadSize), 1<<30)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := parseRawFrame(got); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
