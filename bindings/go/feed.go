package kneo

/*
#include <stdlib.h>
#include "kotak_neo.h"
*/
import "C"

import (
	"fmt"
	"math"
	"time"
)

// Kind tells what a Tick is.
type Kind int32

// The kinds of kotak_neo.h.
const (
	KindScrip        Kind = C.KNEO_KIND_SCRIP
	KindScripLite    Kind = C.KNEO_KIND_SCRIP_LITE
	KindIndex        Kind = C.KNEO_KIND_INDEX
	KindMarketStatus Kind = C.KNEO_KIND_MARKET_STATUS
	KindCAS          Kind = C.KNEO_KIND_CAS
	KindState        Kind = C.KNEO_KIND_STATE
)

// State tells how a feed is.
type State int32

// The states of kotak_neo.h.
const (
	Connecting     State = C.KNEO_STATE_CONNECTING
	Authenticating State = C.KNEO_STATE_AUTHENTICATING
	Live           State = C.KNEO_STATE_LIVE
	Stale          State = C.KNEO_STATE_STALE
	Down           State = C.KNEO_STATE_DOWN
	Refused        State = C.KNEO_STATE_REFUSED
)

// String gives the name that the state has in the JSON of events.
func (s State) String() string {
	switch s {
	case Connecting:
		return "connecting"
	case Authenticating:
		return "authenticating"
	case Live:
		return "live"
	case Stale:
		return "stale"
	case Down:
		return "down"
	case Refused:
		return "refused"
	}
	return fmt.Sprintf("state %d", int32(s))
}

// Bits of Tick.Valid: a field is there only if its bit is set.
const (
	HasLastTradedPrice  = C.KNEO_HAS_LAST_TRADED_PRICE
	HasOHL              = C.KNEO_HAS_OHL
	HasClosePrice       = C.KNEO_HAS_CLOSE_PRICE
	HasNetChangePercent = C.KNEO_HAS_NET_CHANGE_PERCENT
	HasBuy              = C.KNEO_HAS_BUY
	HasSell             = C.KNEO_HAS_SELL
	HasVolume           = C.KNEO_HAS_VOLUME
	HasOpenInterest     = C.KNEO_HAS_OPEN_INTEREST
	HasLastTradeTime    = C.KNEO_HAS_LAST_TRADE_TIME
	HasStatusCode       = C.KNEO_HAS_STATUS_CODE
)

// Tick is one record of a market feed: the fields of kneo_tick that most
// programs want. Prices are in rupees.
type Tick struct {
	Kind              Kind
	FeedState         State // of a state record: the state; else that of the feed when it was read
	ExchangeSegment   string
	Token             uint32
	Symbol            string // or the name of an index; "" until the broker has told it
	Valid             uint64
	LastTradedPrice   float64
	OpenPrice         float64
	HighPrice         float64
	LowPrice          float64
	ClosePrice        float64
	NetChangePercent  float64
	BuyPrice          float64
	SellPrice         float64
	BuyQuantity       int64
	SellQuantity      int64
	VolumeTradedToday int64
	OpenInterest      int64
	LastTradeTime     time.Time
	StatusCode        int32
	Received          time.Time     // by this machine's clock
	Age               time.Duration // since it arrived, when it was read
	Sequence          uint64
	Replaced          uint64 // older values that were never read
}

// Has tells whether all fields of the bits are there.
func (t *Tick) Has(bits uint64) bool {
	return t.Valid&bits == bits
}

func tickOf(c *C.kneo_tick) Tick {
	symbol := C.GoString(&c.trading_symbol[0])
	if c.kind == C.KNEO_KIND_INDEX {
		symbol = C.GoString(&c.name[0])
	}
	return Tick{
		Kind:              Kind(c.kind),
		FeedState:         State(c.feed_state),
		ExchangeSegment:   C.GoString(&c.exchange_segment[0]),
		Token:             uint32(c.token),
		Symbol:            symbol,
		Valid:             uint64(c.valid),
		LastTradedPrice:   float64(c.last_traded_price),
		OpenPrice:         float64(c.open_price),
		HighPrice:         float64(c.high_price),
		LowPrice:          float64(c.low_price),
		ClosePrice:        float64(c.close_price),
		NetChangePercent:  float64(c.net_change_percent),
		BuyPrice:          float64(c.buy_price),
		SellPrice:         float64(c.sell_price),
		BuyQuantity:       int64(c.buy_quantity),
		SellQuantity:      int64(c.sell_quantity),
		VolumeTradedToday: int64(c.volume_traded_today),
		OpenInterest:      int64(c.open_interest),
		LastTradeTime:     time.Unix(int64(c.last_trade_time), 0),
		StatusCode:        int32(c.status_code),
		Received:          time.Unix(0, int64(c.received_ns)),
		Age:               time.Duration(c.age_us) * time.Microsecond,
		Sequence:          uint64(c.sequence),
		Replaced:          uint64(c.replaced),
	}
}

// Feed is the market feed of a client. Any goroutine may use it; it ends with
// its client, and must be closed all the same.
type Feed struct {
	handle *C.kneo_feed
}

// OpenFeed opens the market feed; "" means all defaults.
func (c *Client) OpenFeed(options string) (*Feed, error) {
	args, err := newArguments(argument{"options", options})
	if err != nil {
		return nil, err
	}
	defer args.free()
	var feed Feed
	if _, err := take(C.kneo_feed_open(c.handle, args.text[0], &feed.handle)); err != nil {
		return nil, err
	}
	return &feed, nil
}

// Close ends the feed and every wait on it. Closing twice does nothing.
func (f *Feed) Close() {
	C.kneo_feed_free(f.handle)
}

// Subscribe subscribes to instruments, now and after every reconnect.
func (f *Feed) Subscribe(kind, tokens string) (*Response, error) {
	args, err := newArguments(argument{"kind", kind}, argument{"tokens", tokens})
	if err != nil {
		return nil, err
	}
	defer args.free()
	return take(C.kneo_feed_subscribe(f.handle, args.text[0], args.text[1]))
}

// Unsubscribe ends subscriptions.
func (f *Feed) Unsubscribe(kind, tokens string) (*Response, error) {
	args, err := newArguments(argument{"kind", kind}, argument{"tokens", tokens})
	if err != nil {
		return nil, err
	}
	defer args.free()
	return take(C.kneo_feed_unsubscribe(f.handle, args.text[0], args.text[1]))
}

// Read fills ticks, oldest first, and gives how many it read. It waits for the
// first one only; 0 means that none came in time.
func (f *Feed) Read(ticks []Tick, timeout time.Duration) (int, error) {
	raw := make([]C.kneo_tick, len(ticks))
	var first *C.kneo_tick
	if len(raw) > 0 {
		first = &raw[0]
	}
	count, err := counted(C.kneo_feed_read(f.handle, first, C.int32_t(len(raw)), C.sizeof_kneo_tick, milliseconds(timeout)))
	for i := 0; i < count; i++ {
		ticks[i] = tickOf(&raw[i])
	}
	return count, err
}

// Next gives the next record as JSON, with all its fields. An Error with the
// status End means that none came in time. Read and Next take from one queue.
func (f *Feed) Next(timeout time.Duration) (*Response, error) {
	return take(C.kneo_feed_next(f.handle, milliseconds(timeout)))
}

// Last gives the newest price of an instrument, or nil if none came yet. Look
// at its Age.
func (f *Feed) Last(instrument string) (*Tick, error) {
	args, err := newArguments(argument{"instrument", instrument})
	if err != nil {
		return nil, err
	}
	defer args.free()
	var raw C.kneo_tick
	count, err := counted(C.kneo_feed_last(f.handle, args.text[0], &raw, C.sizeof_kneo_tick))
	if err != nil || count == 0 {
		return nil, err
	}
	tick := tickOf(&raw)
	return &tick, nil
}

// Status tells how the feed is, and why.
func (f *Feed) Status() (*Response, error) {
	return take(C.kneo_feed_status(f.handle))
}

// OrderFeed is the order feed of a client. Any goroutine may use it; it ends
// with its client, and must be closed all the same.
type OrderFeed struct {
	handle *C.kneo_order_feed
}

// OpenOrderFeed opens the order feed; "" means all defaults.
func (c *Client) OpenOrderFeed(options string) (*OrderFeed, error) {
	args, err := newArguments(argument{"options", options})
	if err != nil {
		return nil, err
	}
	defer args.free()
	var feed OrderFeed
	if _, err := take(C.kneo_order_feed_open(c.handle, args.text[0], &feed.handle)); err != nil {
		return nil, err
	}
	return &feed, nil
}

// Close ends the feed and every wait on it. Closing twice does nothing.
func (f *OrderFeed) Close() {
	C.kneo_order_feed_free(f.handle)
}

// Next gives the next event as JSON. An Error with the status End means that
// none came in time.
func (f *OrderFeed) Next(timeout time.Duration) (*Response, error) {
	return take(C.kneo_order_feed_next(f.handle, milliseconds(timeout)))
}

// Status tells how the feed is, and why.
func (f *OrderFeed) Status() (*Response, error) {
	return take(C.kneo_order_feed_status(f.handle))
}

// counted splits what the library gives: a count, or a negative status.
func counted(count C.int32_t) (int, error) {
	if count >= 0 {
		return int(count), nil
	}
	status := Status(-count)
	message := fmt.Sprintf("the call failed with status %d", status)
	return 0, &Error{Response{Status: status, Message: message}}
}

// milliseconds is a time as the library takes it.
func milliseconds(timeout time.Duration) C.int32_t {
	ms := timeout.Milliseconds()
	if ms < 0 {
		ms = 0
	} else if ms > math.MaxInt32 {
		ms = math.MaxInt32
	}
	return C.int32_t(ms)
}
