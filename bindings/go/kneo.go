// Package kneo calls the kotak_neo library: Kotak Neo's trading API from Go.
//
//	client, err := kneo.Open(config)
//	if err != nil { ... }
//	defer client.Close()
//	_, err = client.TOTPLogin("+919999999999", "ABC12", "123456")
//	trade, err := client.TOTPValidate("123456")
//	fmt.Println(trade.Redacted)
//
// Texts are copied in both directions, so nothing of C has to be freed by the
// caller but the Client and its feeds, with Close. A Client may be used from any goroutine.
// A call blocks its thread until the answer is there or its deadline has passed.
package kneo

/*
#cgo CFLAGS: -I${SRCDIR}/../../include
#cgo LDFLAGS: -lkotak_neo
#include <stdlib.h>
#include <string.h>
#include "kotak_neo.h"
*/
import "C"

import (
	"fmt"
	"strings"
	"time"
	"unsafe"
)

// Status is the outcome of a call. The numbers never change.
type Status int32

// The statuses of kotak_neo.h.
const (
	OK              Status = C.KNEO_OK
	InvalidArgument Status = C.KNEO_INVALID_ARGUMENT
	InvalidHandle   Status = C.KNEO_INVALID_HANDLE
	NotLoggedIn     Status = C.KNEO_NOT_LOGGED_IN
	SessionExpired  Status = C.KNEO_SESSION_EXPIRED
	Rejected        Status = C.KNEO_REJECTED
	RateLimited     Status = C.KNEO_RATE_LIMITED
	Timeout         Status = C.KNEO_TIMEOUT
	Network         Status = C.KNEO_NETWORK
	UnknownOutcome  Status = C.KNEO_UNKNOWN_OUTCOME
	Protocol        Status = C.KNEO_PROTOCOL
	Unavailable     Status = C.KNEO_UNAVAILABLE
	Closed          Status = C.KNEO_CLOSED
	Internal        Status = C.KNEO_INTERNAL
	End             Status = C.KNEO_END
)

// Response is what a call gave back.
type Response struct {
	Status     Status
	HTTPStatus int    // of the broker; 0 where there was no answer
	JSON       string // the broker's body
	Message    string
	Meta       string // JSON: operation, request id, time spent
	Redacted   string // the JSON with tokens and personal data masked
}

// String gives the masked JSON, so that printing a Response shows no token.
func (r Response) String() string {
	return r.Redacted
}

// Error is a call that was not OK. Its JSON holds the broker's own words.
type Error struct {
	Response
}

// Error gives the library's message, which contains no secret.
func (e *Error) Error() string {
	return fmt.Sprintf("kneo: status %d: %s", e.Status, e.Message)
}

// Client is one account's connection to the broker.
type Client struct {
	// Never changed: a handle is a number that is not used again, so that
	// calls after Close, and a second Close, are harmless.
	handle *C.kneo_client
}

// Open opens a client with a configuration in JSON; "" means all defaults.
func Open(config string) (*Client, error) {
	args, err := newArguments(argument{"config", config})
	if err != nil {
		return nil, err
	}
	defer args.free()
	var client Client
	if _, err := take(C.kneo_client_open(args.text[0], &client.handle)); err != nil {
		return nil, err
	}
	return &client, nil
}

// Close frees the client. Calls that other goroutines have in flight end at
// once. Closing twice does nothing.
func (c *Client) Close() {
	C.kneo_client_free(c.handle)
}

// Interrupt ends the calls in flight and keeps the session.
func (c *Client) Interrupt() {
	C.kneo_client_interrupt(c.handle)
}

// Halt is the kill switch: nothing but cancels leaves this client from now on.
func (c *Client) Halt() (*Response, error) {
	return take(C.kneo_client_halt(c.handle))
}

// TOTPLogin is the first step of the current login.
func (c *Client) TOTPLogin(mobileNumber, ucc, totp string) (*Response, error) {
	args, err := newArguments(argument{"mobile_number", mobileNumber}, argument{"ucc", ucc}, argument{"totp", totp})
	if err != nil {
		return nil, err
	}
	defer args.free()
	return take(C.kneo_totp_login(c.handle, args.text[0], args.text[1], args.text[2]))
}

// TOTPValidate is its second step, with the MPIN.
func (c *Client) TOTPValidate(mpin string) (*Response, error) {
	args, err := newArguments(argument{"mpin", mpin})
	if err != nil {
		return nil, err
	}
	defer args.free()
	return take(C.kneo_totp_validate(c.handle, args.text[0]))
}

// User names an account for Login: exactly one field is set.
type User struct {
	MobileNumber, UserID, PAN string
}

// Login is the first step of the password login.
func (c *Client) Login(user User, password string) (*Response, error) {
	args, err := newArguments(argument{"mobile_number", user.MobileNumber}, argument{"user_id", user.UserID},
		argument{"pan", user.PAN}, argument{"password", password})
	if err != nil {
		return nil, err
	}
	defer args.free()
	return take(C.kneo_login(c.handle, orNull(args.text[0]), orNull(args.text[1]), orNull(args.text[2]), args.text[3]))
}

// Session2FA is its second step, with the OTP or the MPIN.
func (c *Client) Session2FA(otp string) (*Response, error) {
	args, err := newArguments(argument{"otp", otp})
	if err != nil {
		return nil, err
	}
	defer args.free()
	return take(C.kneo_session_2fa(c.handle, args.text[0]))
}

// SessionInfo tells the state of the session, without secrets.
func (c *Client) SessionInfo() (*Response, error) {
	return take(C.kneo_session_info(c.handle))
}

// Logout ends the session.
func (c *Client) Logout() (*Response, error) {
	return take(C.kneo_logout(c.handle))
}

// TOTPGenerate makes the TOTP of now: {"totp":"123456","valid_for_seconds":17}.
func TOTPGenerate(secretBase32 string) (*Response, error) {
	args, err := newArguments(argument{"secret_base32", secretBase32})
	if err != nil {
		return nil, err
	}
	defer args.free()
	return take(C.kneo_totp_generate(args.text[0]))
}

// LedgerOpenIntents tells what is open in a ledger file, whoever has it:
// {"intents":[...],"held_by":{"pid","since"}}.
func LedgerOpenIntents(ledgerFile string) (*Response, error) {
	args, err := newArguments(argument{"ledger_file", ledgerFile})
	if err != nil {
		return nil, err
	}
	defer args.free()
	return take(C.kneo_ledger_open_intents(args.text[0]))
}

// Version is the version of the loaded library.
func Version() string {
	return C.GoString(C.kneo_version())
}

// LiveHandles counts what is not freed yet.
func LiveHandles() int {
	return int(C.kneo_live_handles())
}

// Shutdown ends every thread of the library, and every client. It gives false
// when a thread could not end in time.
func Shutdown(timeout time.Duration) bool {
	return Status(C.kneo_shutdown(milliseconds(timeout))) == OK
}

// take copies a response of the library and frees it.
func take(raw *C.kneo_response) (*Response, error) {
	defer C.kneo_response_free(raw)
	response := Response{
		Status:     Status(C.kneo_response_status(raw)),
		HTTPStatus: int(C.kneo_response_http_status(raw)),
		JSON:       C.GoStringN(C.kneo_response_json(raw), C.int(C.kneo_response_json_len(raw))),
		Message:    C.GoString(C.kneo_response_message(raw)),
		Meta:       C.GoString(C.kneo_response_meta(raw)),
		Redacted:   C.GoString(C.kneo_response_redacted(raw)),
	}
	if response.Status != OK {
		return nil, &Error{response}
	}
	return &response, nil
}

type argument struct{ name, value string }

// arguments holds copies of texts in C memory, each ending with a NUL.
type arguments struct {
	text []*C.char
}

// newArguments refuses a NUL byte: C would silently cut the text there.
func newArguments(given ...argument) (*arguments, error) {
	for _, a := range given {
		if strings.IndexByte(a.value, 0) >= 0 {
			message := a.name + ": contains a NUL byte"
			json := `{"error":{"status":"INVALID_ARGUMENT","message":"` + message + `","sent":false}}`
			return nil, &Error{Response{Status: InvalidArgument, JSON: json, Message: message, Redacted: json}}
		}
	}
	var args arguments
	for _, a := range given {
		args.text = append(args.text, C.CString(a.value))
	}
	return &args, nil
}

// free wipes the texts, which may be secrets, and frees them.
func (a *arguments) free() {
	for _, text := range a.text {
		C.memset(unsafe.Pointer(text), 0, C.strlen(text))
		C.free(unsafe.Pointer(text))
	}
}

// orNull turns "" into NULL, which means "not given".
func orNull(text *C.char) *C.char {
	if C.strlen(text) == 0 {
		return nil
	}
	return text
}
