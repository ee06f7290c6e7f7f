// Command login logs in to Kotak Neo from Go.
//
//	login totp        mobile number, UCC and TOTP, then the MPIN  (the default)
//	login password    mobile number and password, then OTP or MPIN
//
// All input comes from the environment: KNEO_CONFIG, KNEO_MOBILE_NUMBER,
// KNEO_UCC, KNEO_TOTP or KNEO_TOTP_SECRET, KNEO_MPIN, KNEO_PASSWORD, KNEO_OTP.
//
// For each call one line is printed: its name, its status, and its JSON with
// tokens and personal data masked.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"kneo"
)

func main() {
	way := "totp"
	if len(os.Args) > 1 {
		way = os.Args[1]
	}
	ok := true
	if err := logIn(way); err != nil {
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

func logIn(way string) error {
	client, err := kneo.Open(os.Getenv("KNEO_CONFIG"))
	if err != nil {
		return show("client_open", nil, err)
	}
	defer client.Close()

	mobileNumber := os.Getenv("KNEO_MOBILE_NUMBER")
	switch way {
	case "totp":
		totp, err := totpOfNow()
		if err != nil {
			return err
		}
		response, err := client.TOTPLogin(mobileNumber, os.Getenv("KNEO_UCC"), totp)
		if err := show("totp_login", response, err); err != nil {
			return err
		}
		response, err = client.TOTPValidate(os.Getenv("KNEO_MPIN"))
		if err := show("totp_validate", response, err); err != nil {
			return err
		}
	case "password":
		response, err := client.Login(kneo.User{MobileNumber: mobileNumber}, os.Getenv("KNEO_PASSWORD"))
		if err := show("login", response, err); err != nil {
			return err
		}
		response, err = client.Session2FA(os.Getenv("KNEO_OTP"))
		if err := show("session_2fa", response, err); err != nil {
			return err
		}
	default:
		return errors.New("usage: login [totp|password]")
	}

	response, err := client.SessionInfo()
	if err := show("session_info", response, err); err != nil {
		return err
	}
	response, err = client.Logout()
	return show("logout", response, err)
}

// show prints the line of one call and hands its error on.
func show(operation string, response *kneo.Response, err error) error {
	var failed *kneo.Error
	if errors.As(err, &failed) {
		response = &failed.Response
	}
	if response != nil {
		fmt.Printf("%s: %d %s\n", operation, response.Status, response.Redacted)
	}
	return err
}

// totpOfNow gives the six digits: given, or made from the secret.
func totpOfNow() (string, error) {
	if totp := os.Getenv("KNEO_TOTP"); totp != "" {
		return totp, nil
	}
	response, err := kneo.TOTPGenerate(os.Getenv("KNEO_TOTP_SECRET"))
	if err != nil {
		return "", show("totp_generate", nil, err)
	}
	var made struct {
		TOTP string `json:"totp"`
	}
	err = json.Unmarshal([]byte(response.JSON), &made)
	return made.TOTP, err
}
