package taos

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"tdreplica/core"
)

type topicArgs struct {
	request
	Topic string `json:"topic"`
}

type topicVgroup struct {
	Topic    string `json:"topic"`
	VgroupID int32  `json:"vgroup_id"`
}

type vgroupsArgs struct {
	request
	TopicVgroups []topicVgroup `json:"topic_vgroup_ids"`
}

type offsetArgs struct {
	request
	Topic    string `json:"topic"`
	VgroupID int32  `json:"vgroup_id"`
	Offset   int64  `json:"offset"`
}

// Assignment implements engine.Source.
func (src *source) Assignment(ctx context.Context) ([]core.Assignment, error) {
	if err := src.settle(ctx); err != nil {
		return nil, err
	}
	op := src.op("ask for the assignment of")
	var reply struct {
		Assignment []struct {
			VgroupID int32 `json:"vgroup_id"`
			Offset   int64 `json:"offset"`
			Begin    int64 `json:"begin"`
			End      int64 `json:"end"`
		} `json:"assignment"`
	}
	if err := src.s.ask(ctx, op, "assignment", &topicArgs{Topic: src.sub.Topic}, src.opts.RequestTimeout, &reply); err != nil {
		var e *core.Error
		if errors.As(err, &e) && e.Code == codeTopicNotOurs {
			e.Class = core.ClassRetry // no vgroup was handed over yet
		}
		return nil, err
	}
	out := make([]core.Assignment, 0, len(reply.Assignment))
	seen := make(map[int32]bool, len(reply.Assignment))
	for _, a := range reply.Assignment {
		if a.VgroupID > 0 && a.Begin == -1 && a.End == -1 {
			// The client has not heard from the vgroup since it was handed over.
			return nil, &core.Error{Class: core.ClassRetry, Op: op,
				Text: fmt.Sprintf("the adapter does not know the WAL of vgroup %d yet", a.VgroupID)}
		}
		if a.VgroupID <= 0 || seen[a.VgroupID] || a.Begin < 0 || a.End < a.Begin {
			return nil, src.ep.nonsense(op, fmt.Sprintf("the assignment %+v", a))
		}
		seen[a.VgroupID] = true
		out = append(out, core.Assignment{Vgroup: a.VgroupID, Offset: a.Offset, Begin: a.Begin, End: a.End})
	}
	return out, nil
}

// Position implements engine.Source. If a Poll was given up and its message is
// not handed out yet, the server's position already covers it. Then that
// vgroup's answer is the start of the message; where the server does not tell
// it (meta) the vgroup is left out, for nothing may be committed there.
func (src *source) Position(ctx context.Context, vgroups []int32) ([]core.VgroupOffset, error) {
	out, err := src.offsets(ctx, "position", vgroups)
	waiting := src.announced
	if err != nil || waiting == nil {
		return out, err
	}
	i := slices.IndexFunc(out, func(o core.VgroupOffset) bool { return o.Vgroup == waiting.VgroupID })
	switch {
	case i < 0:
	case core.MessageKind(waiting.MessageType) == core.KindMeta:
		out = slices.Delete(out, i, i+1)
	default:
		out[i].Offset = waiting.Offset
	}
	return out, nil
}

// Committed implements engine.Source.
func (src *source) Committed(ctx context.Context, vgroups []int32) ([]core.VgroupOffset, error) {
	return src.offsets(ctx, "committed", vgroups)
}

// offsets asks for one number per vgroup: action is position or committed, and
// so is the field of the reply.
func (src *source) offsets(ctx context.Context, action string, vgroups []int32) ([]core.VgroupOffset, error) {
	if err := src.settle(ctx); err != nil {
		return nil, err
	}
	if len(vgroups) == 0 {
		return nil, nil
	}
	op := src.op("ask for the " + action + " in")
	args := &vgroupsArgs{}
	for _, vg := range vgroups {
		args.TopicVgroups = append(args.TopicVgroups, topicVgroup{Topic: src.sub.Topic, VgroupID: vg})
	}
	var reply struct {
		Position  []int64 `json:"position"`
		Committed []int64 `json:"committed"`
	}
	err := src.afterAssignment(ctx, func() error {
		return src.s.ask(ctx, op, action, args, src.opts.RequestTimeout, &reply)
	})
	if err != nil {
		return nil, err
	}
	numbers := reply.Position
	if action == "committed" {
		numbers = reply.Committed
	}
	if len(numbers) != len(vgroups) {
		return nil, src.ep.nonsense(op, fmt.Sprintf("%d offsets for %d vgroups", len(numbers), len(vgroups)))
	}
	out := make([]core.VgroupOffset, len(vgroups))
	for i, vg := range vgroups {
		if numbers[i] == committedNone {
			numbers[i] = core.Unknown
		} else if numbers[i] < 0 {
			return nil, &core.Error{Class: core.ClassOffset, Op: op,
				Text: fmt.Sprintf("vgroup %d has the offset %d", vg, numbers[i])}
		}
		out[i] = core.VgroupOffset{Vgroup: vg, Offset: numbers[i]}
	}
	return out, nil
}

// Commit implements engine.Source. The server takes an offset within the range
// it last told; storing what is stored already succeeds.
func (src *source) Commit(ctx context.Context, at core.VgroupOffset) error {
	err := src.move(ctx, "commit_offset", at)
	var e *core.Error
	if errors.As(err, &e) && e.Code == codeOffsetSame {
		return nil
	}
	return err
}

// Seek implements engine.Source. What the server had prepared of that vgroup is
// dropped, and so is a message that was announced and not handed out.
func (src *source) Seek(ctx context.Context, to core.VgroupOffset) error {
	if err := src.move(ctx, "seek", to); err != nil {
		return err
	}
	if src.announced != nil && src.announced.VgroupID == to.Vgroup {
		src.lastID = src.announced.MessageID // or the adapter would send it again
		src.announced = nil
	}
	return nil
}

func (src *source) move(ctx context.Context, action string, at core.VgroupOffset) error {
	if err := src.settle(ctx); err != nil {
		return err
	}
	op := fmt.Sprintf("%s of vgroup %d to %d in topic %s at %s", action, at.Vgroup, at.Offset, src.sub.Topic, src.ep)
	return src.afterAssignment(ctx, func() error {
		args := &offsetArgs{Topic: src.sub.Topic, VgroupID: at.Vgroup, Offset: at.Offset}
		return src.s.ask(ctx, op, action, args, src.opts.RequestTimeout, nil)
	})
}

// afterAssignment repeats a request once that the server refuses because it
// does not know the range of the WAL yet: asking for the assignment tells it.
func (src *source) afterAssignment(ctx context.Context, request func() error) error {
	err := request()
	var e *core.Error
	if !errors.As(err, &e) || e.Code != codeOffsetNotKnown {
		return err
	}
	if _, err := src.Assignment(ctx); err != nil {
		return err
	}
	return request()
}
