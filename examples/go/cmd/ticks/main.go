// Command ticks prints live orders and prices from Go.
//
//	ticks [COUNT [INSTRUMENT...]]
//
// It prints the orders of the day as the order feed tells them, and then COUNT
// prices (20 unless given) of the instruments: "nse_cm|11536", or the name of an
// index, "nse_cm|Nifty 50". The input is that of the command login.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"kneo"
)

const patience = 30 * time.Second

func main() {
	ok := true
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		ok = false
	}
	if !kneo.Shutdown(5 * time.Second) {
		fmt.Fprintln(os.Stderr, "the library's threads did not end in time")
		ok = false
	}
	live := kneo.LiveHandles()
	fmt.Println("live handles:", live)
	if !ok || live != 0 {
		os.Exit(1)
	}
}

func run(arguments []string) error {
	count, instruments := 20, []string{"nse_cm|Nifty 50", "nse_cm|11536"}
	if len(arguments) > 0 {
		given, err := strconv.Atoi(arguments[0])
		if err != nil || given < 1 {
			return errors.New("usage: ticks [COUNT [INSTRUMENT...]]")
		}
		count = given
	}
	if len(arguments) > 1 {
		instruments = arguments[1:]
	}

	client, err := kneo.Open(os.Getenv("KNEO_CONFIG"))
	if err != nil {
		return err
	}
	defer client.Close()
	totp, err := totpOfNow()
	if err != nil {
		return err
	}
	if _, err = client.TOTPLogin(os.Getenv("KNEO_MOBILE_NUMBER"), os.Getenv("KNEO_UCC"), totp); err != nil {
		return err
	}
	if _, err = client.TOTPValidate(os.Getenv("KNEO_MPIN")); err != nil {
		return err
	}
	if err = showOrders(client); err != nil {
		return err
	}
	return showPrices(client, count, instruments)
}

// showOrders prints what the order feed tells until the orders of the day were told.
func showOrders(client *kneo.Client) error {
	feed, err := client.OpenOrderFeed("")
	if err != nil {
		return err
	}
	defer feed.Close()
	for {
		response, err := feed.Next(patience)
		if err != nil {
			return err
		}
		var event map[string]interface{}
		if err := json.Unmarshal([]byte(response.Redacted), &event); err != nil {
			return err
		}
		delete(event, "data") // the broker's row, which is long
		text, err := json.Marshal(event)
		if err != nil {
			return err
		}
		fmt.Printf("order feed: %s\n", text)
		if event["type"] == "books" && event["ok"] == true {
			return nil
		}
	}
}

func showPrices(client *kneo.Client, count int, instruments []string) error {
	feed, err := client.OpenFeed("")
	if err != nil {
		return err
	}
	defer feed.Close()
	for _, instrument := range instruments {
		// An index has a name, everything else a number.
		kind := "scrips"
		if _, err := strconv.Atoi(instrument[strings.Index(instrument, "|")+1:]); err != nil {
			kind = "index"
		}
		if _, err := feed.Subscribe(kind, instrument); err != nil {
			return err
		}
	}
	ticks := make([]kneo.Tick, 64)
	for {
		read, err := feed.Read(ticks, patience)
		if err != nil {
			return err
		}
		if read == 0 {
			return errors.New("no price came in time")
		}
		for i := range ticks[:read] {
			if ticks[i].Kind == kneo.KindState {
				fmt.Println("feed:", ticks[i].FeedState)
				continue
			}
			showPrice(&ticks[i])
			if count--; count == 0 {
				return nil
			}
		}
	}
}

func showPrice(tick *kneo.Tick) {
	fmt.Printf("%s %.2f", tick.Symbol, tick.LastTradedPrice)
	if tick.Has(kneo.HasNetChangePercent) {
		fmt.Printf(" (%+.2f %%)", tick.NetChangePercent)
	}
	if tick.Has(kneo.HasBuy) {
		fmt.Printf(", bid %.2f", tick.BuyPrice)
	}
	if tick.Has(kneo.HasSell) {
		fmt.Printf(", ask %.2f", tick.SellPrice)
	}
	if tick.Has(kneo.HasVolume) {
		fmt.Printf(", volume %d", tick.VolumeTradedToday)
	}
	fmt.Printf(", %d us old\n", tick.Age.Microseconds())
}

// totpOfNow gives the six digits: given, or made from the secret.
func totpOfNow() (string, error) {
	if totp := os.Getenv("KNEO_TOTP"); totp != "" {
		return totp, nil
	}
	response, err := kneo.TOTPGenerate(os.Getenv("KNEO_TOTP_SECRET"))
	if err != nil {
		return "", err
	}
	var made struct {
		TOTP string `json:"totp"`
	}
	err = json.Unmarshal([]byte(response.JSON), &made)
	return made.TOTP, err
}
