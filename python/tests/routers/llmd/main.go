// SPDX-License-Identifier: MIT

// The index that llm-d's router has after what a publisher sent.
//
//	kvbm-router-llmd ENDPOINT BLOCK_SIZE POD MODEL
//
// Subscribes to kv@POD@MODEL with the module's own subscriber, event pool and
// index, and prints "ready SEQUENCE" at the first message. Then reads a question
// from standard input: the sequence number of the last message, and prompts, each
// a list of blocks with hash and tokens. Prints the hashes of the blocks that the
// index finds by their tokens in the host's memory of that pod, one a line, then
// what it took, what it refused, messages that it missed and blocks that it finds
// by their tokens and under another engine's hash.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr/funcr"
	"github.com/llm-d/llm-d-kv-cache/pkg/kvcache/kvblock"
	"github.com/llm-d/llm-d-kv-cache/pkg/kvevents"
	"github.com/llm-d/llm-d-kv-cache/pkg/kvevents/engineadapter"
	"k8s.io/apimachinery/pkg/util/sets"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

const patience = 2 * time.Minute

type question struct {
	Last    uint64
	Prompts [][]struct {
		Hash   uint64
		Tokens []uint32
	}
}

// watched is the module's adapter, and knows which messages have come.
type watched struct {
	kvevents.EngineAdapter

	mu     sync.Mutex
	come   *sync.Cond
	any    bool
	last   uint64
	missed uint64
	events int
}

func (w *watched) ParseMessage(m *kvevents.RawMessage) (
	string, string, kvevents.EventBatch, error,
) {
	pod, model, batch, err := w.EngineAdapter.ParseMessage(m)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.any && m.Sequence != w.last+1 {
		w.missed++
	}
	w.any, w.last = true, m.Sequence
	w.events += len(batch.Events)
	w.come.Broadcast()
	return pod, model, batch, err
}

// wait returns when the message has come, with the newest that has.
func (w *watched) wait(last uint64) uint64 {
	t := time.AfterFunc(patience, func() {
		die("message %d has not come", last)
	})
	defer t.Stop()
	w.mu.Lock()
	defer w.mu.Unlock()
	for !w.any || w.last < last {
		w.come.Wait()
	}
	return w.last
}

func die(format string, a ...any) {
	fmt.Fprintf(os.Stderr, "kvbm-router-llmd: "+format+"\n", a...)
	os.Exit(1)
}

func must[T any](v T, err error) T {
	if err != nil {
		die("%v", err)
	}
	return v
}

func main() {
	if len(os.Args) != 5 {
		die("usage: kvbm-router-llmd ENDPOINT BLOCK_SIZE POD MODEL")
	}
	endpoint, pod, model := os.Args[1], os.Args[3], os.Args[4]
	size := must(strconv.Atoi(os.Args[2]))

	// The module drops what it cannot use, and tells its log alone.
	var mu sync.Mutex
	refused := 0
	ctx := log.IntoContext(context.Background(), funcr.New(
		func(_, args string) {
			// funcr's lines of errors have no level.
			if strings.HasPrefix(args, `"level"=`) {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			refused++
			fmt.Fprintln(os.Stderr, args)
		}, funcr.Options{}))

	index := must(kvblock.NewIndex(ctx, &kvblock.IndexConfig{
		InMemoryConfig: &kvblock.InMemoryIndexConfig{
			Size: 1 << 20, PodCacheSize: 10,
		},
	}))
	hasher := must(kvblock.NewChunkedTokenDatabase(
		&kvblock.TokenProcessorConfig{BlockSizeTokens: size}))
	w := &watched{EngineAdapter: must(engineadapter.NewAdapter(
		engineadapter.EngineTypeVLLM))}
	w.come = sync.NewCond(&w.mu)
	pool := kvevents.NewPool(&kvevents.Config{Concurrency: 2}, index, hasher, w)
	pool.Start(ctx)
	subscribers := kvevents.NewSubscriberManager(pool)
	if err := subscribers.EnsureSubscriber(
		ctx, pod, endpoint, "kv@"+pod+"@"+model, true); err != nil {
		die("%v", err)
	}

	fmt.Println("ready", w.wait(0))
	var q question
	if err := json.NewDecoder(os.Stdin).Decode(&q); err != nil {
		die("%v", err)
	}
	w.wait(q.Last)
	subscribers.Shutdown(ctx)
	pool.Shutdown(ctx)

	pods := sets.New(pod)
	said := map[uint64]bool{}
	misplaced := 0
	for _, prompt := range q.Prompts {
		var tokens []uint32
		for _, b := range prompt {
			tokens = append(tokens, b.Tokens...)
		}
		keys := must(hasher.TokensToKVBlockKeys(
			kvblock.EmptyBlockHash, tokens, model, nil))
		if len(keys) != len(prompt) {
			die("%d keys of %d blocks", len(keys), len(prompt))
		}
		for i, key := range keys {
			found := must(index.Lookup(ctx, keys[i:i+1], pods))
			here := false
			for _, e := range found[key] {
				here = here || e.DeviceTier == "cpu"
			}
			if !here {
				continue
			}
			own, err := index.GetRequestKey(
				ctx, kvblock.BlockHash(prompt[i].Hash))
			if err != nil || own != key {
				misplaced++
			}
			if !said[prompt[i].Hash] {
				said[prompt[i].Hash] = true
				fmt.Println(prompt[i].Hash)
			}
		}
	}
	mu.Lock()
	defer mu.Unlock()
	fmt.Println("taken", w.events, "refused", refused, "missed", w.missed,
		"misplaced", misplaced)
}
