//! The broker's codes: what each means for a caller and what to do about it.
//!
//! Collected from the broker's documentation, its SDKs and reports of users.
//! Where two tables of the broker contradict each other the hint says so.

use crate::broker::words;

/// What a code means for the status of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// The request was understood and refused.
    Refusal,
    /// Refused, but known only from logins, reports and gateways. Of an
    /// instruction it does not prove that it was not taken.
    Unproven,
    /// The account or the application is shut out, whatever the HTTP status: no
    /// repetition and no other login helps now. Known only from logins and reads;
    /// of an instruction it does not prove that it was not taken.
    Barred,
    /// The session, or the application's bearer token, is not accepted, whatever
    /// the HTTP status. Who says so has not looked at what was asked.
    Session,
    /// There is nothing to show: an empty book.
    NoData,
    /// The broker could not do its work. Says nothing about an instruction.
    Fault,
}

/// One code of the broker.
pub(crate) struct Entry {
    pub(crate) code: &'static str,
    pub(crate) meaning: Meaning,
    pub(crate) hint: &'static str,
}

const fn entry(code: &'static str, meaning: Meaning, hint: &'static str) -> Entry {
    Entry {
        code,
        meaning,
        hint,
    }
}

use Meaning::{Barred, Fault, NoData, Refusal, Session, Unproven};

const ENTRIES: &[Entry] = &[
    // Of the core's errors one alone is proved to be a refusal: see `is_flag_error`.
    entry(
        FLAG_ERROR,
        Unproven,
        "The broker's core reports an error; \"hash error\" to a cancel says that its order is an \
         after-market order: cancel with amo YES.",
    ),
    entry(
        "32",
        Refusal,
        "This tag was already used today; give every order a tag of its own.",
    ),
    entry(
        "400",
        Unproven,
        "A field that the broker requires is missing or malformed; its text names it.",
    ),
    entry(
        "401",
        Unproven,
        "The TOTP, MPIN or password is wrong; check the clock of this machine and log in again.",
    ),
    entry(
        "429",
        Unproven,
        "The UCC is wrong (in a login answer this code is no rate limit); it stands in the app under Profile.",
    ),
    entry(
        "1002",
        Refusal,
        "A parameter is not what the broker expects; compare it with the documented values.",
    ),
    entry(
        "1003",
        Session,
        "The session is invalid or has expired; log in again.",
    ),
    entry(
        "1004",
        Refusal,
        "Funds or limits do not suffice; look at the limits call.",
    ),
    entry(
        "1005",
        Fault,
        "The broker had an internal error; read the books before you repeat anything.",
    ),
    entry(
        "1006",
        Refusal,
        "The order could not be processed: executed or cancelled already, not found, or a wrong exchange.",
    ),
    entry(
        "1007",
        Refusal,
        "The broker could not read the request or does not know the symbol; use pTrdSymbol of the scrip master.",
    ),
    entry(
        "1008",
        Refusal,
        "The market is closed; use an after-market order.",
    ),
    entry(
        "1009",
        Refusal,
        "The instrument, quantity or price is not valid; check the symbol or underlying, the lot size and a blank price.",
    ),
    entry(
        "1010",
        Refusal,
        "The quantity is not allowed or the contract has expired.",
    ),
    entry(
        "1017",
        Refusal,
        "This account or application may not place orders through the API; ask the broker.",
    ),
    entry(
        "1021",
        Refusal,
        "The order is complete; it can be neither modified nor cancelled.",
    ),
    entry(
        "1037",
        Refusal,
        "The session was made from another IP address; log in from the address that sends the orders.",
    ),
    entry(
        "5202",
        Unproven,
        "The broker did not accept this report call; check its parameters.",
    ),
    entry("5203", NoData, "There is no data: the book is empty."),
    entry(
        "5204",
        Refusal,
        "The tag was used before, or the cancel of an after-market order lacks its trading symbol.",
    ),
    entry(
        "10300",
        Unproven,
        "A parameter is missing or malformed; the broker's text names it.",
    ),
    entry(
        "10512",
        Unproven,
        "A login header is missing; check the consumer key, the access token and neo_fin_key.",
    ),
    entry(
        "10522",
        Unproven,
        "No OTP could be generated; log in again.",
    ),
    entry(
        "10525",
        Barred,
        "The account is locked for today after too many wrong logins; do not try again before the broker has unlocked it.",
    ),
    entry(
        "16283",
        Unproven,
        "The price, or the trigger price, is no multiple of the scrip's tick size.",
    ),
    entry(
        "91400",
        Refusal,
        "Only orders placed through the API can be changed or looked up through it.",
    ),
    entry(
        "100008",
        Refusal,
        "This machine's IP address is not whitelisted for orders; kneo_whatsmyip tells which it is.",
    ),
    entry(
        "100021",
        Refusal,
        "This kind of session or application may not place orders; log in completely, with the MPIN.",
    ),
    entry(
        "100022",
        Session,
        "The broker does not know this session token any more; log in again.",
    ),
    entry(
        "200032",
        Session,
        "This host is not, or no longer, the one of the session; log in again, which tells its host (baseUrl) anew.",
    ),
    entry(
        "900901",
        Session,
        "The gateway does not accept the access token; log in again, which makes a new one, or configure another.",
    ),
    entry(
        "invalid_client",
        Barred,
        "The consumer key or secret is wrong; copy it anew (generation 3: in the app under Trade API; older ones: that of DefaultApplication).",
    ),
];

/// Sentences that say what a code says, where an answer has none, or one that says
/// nothing: words in lower case, in this order.
const SENTENCES: &[(&[&str], &str)] = &[
    (&["consumer key", "invalid"], "invalid_client"),
    (&["invalid consumer key"], "invalid_client"),
    (&["account", " locked"], "10525"),
    (&["invalid url", "baseurl"], "200032"),
    (&["invalid session token"], "100022"),
    (&["invalid session"], "1003"),
];

/// The code of the core's answer to a cancel whose after-market flag is not that of its
/// order. Seen of an after-market order that was cancelled without the flag; with it, the
/// broker took the cancel.
const FLAG_ERROR: &str = "14";
/// So many characters of what the broker says to it are looked at.
const MOST_SAID: usize = 512;

/// Whether an answer to a cancel is that one, which proves that nothing was cancelled.
pub(crate) fn is_flag_error(code: &str, said: &str) -> bool {
    code == FLAG_ERROR && words::says(&words::plain(said, MOST_SAID), "hash error")
}

/// The hint where the flag had been set.
pub(crate) const FLAG_NOT_WANTED: &str = "The broker's core does not find the order under the \
    after-market flag, which was set: look at its ordGenTp in the order book, and cancel with amo \
    NO if that is not AMO.";

/// What is known of `code`.
pub(crate) fn find(code: &str) -> Option<&'static Entry> {
    ENTRIES.iter().find(|entry| entry.code == code)
}

/// All codes that are known.
#[cfg(test)]
pub(crate) fn codes() -> impl Iterator<Item = &'static str> {
    ENTRIES.iter().map(|entry| entry.code)
}

/// Words of one sentence stand no farther apart, in bytes: a key of 36 characters may stand
/// between. A page of a gateway has any two words somewhere.
const NEAR: usize = 80;

/// What is known of an answer by its words. They may stand in any sentence, so they
/// prove nothing about an instruction.
pub(crate) fn find_by_words(said: &str) -> Option<&'static Entry> {
    let said = said.to_lowercase();
    let (_, code) = SENTENCES.iter().find(|(words, _)| has(&said, words))?;
    find(code)
}

/// Whether words stand in a text, in their order and near each other.
fn has(text: &str, words: &[&str]) -> bool {
    let Some((first, rest)) = words.split_first() else {
        return true;
    };
    text.match_indices(first).any(|(at, found)| {
        let mut behind = &text.as_bytes()[at + found.len()..];
        rest.iter().all(|word| {
            let word = word.as_bytes();
            // No more of it is looked at: a text may be long, and have the first word often.
            let near = &behind[..behind.len().min(NEAR + word.len())];
            let gap = near.windows(word.len()).position(|some| some == word);
            gap.is_some_and(|gap| {
                behind = &behind[gap + word.len()..];
                true
            })
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_stands_once_with_one_sentence() {
        for (at, entry) in ENTRIES.iter().enumerate() {
            assert!(
                ENTRIES[..at].iter().all(|other| other.code != entry.code),
                "{}",
                entry.code
            );
            assert!(entry.hint.ends_with('.'), "{}", entry.code);
        }
        let guide = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/guide.md");
        let guide = std::fs::read_to_string(guide).expect("docs/guide.md can be read");
        for entry in ENTRIES {
            let shown = guide.contains(&format!("`{}`", entry.code));
            assert!(
                shown || entry.meaning == NoData,
                "{} is not in the guide",
                entry.code
            );
        }
        assert_eq!(find("1003").map(|entry| entry.meaning), Some(Session));
        assert!(find("").is_none());
    }

    #[test]
    fn sentences_lead_to_codes_that_are_known() {
        for (words, code) in SENTENCES {
            let said = words.join(" ... ").to_uppercase();
            let found = find_by_words(&said).map(|entry| entry.code);
            assert_eq!(found, Some(*code), "{said}");
            // What is not there, or in another order, is not found.
            for (at, _) in words.iter().enumerate() {
                let mut some = words.to_vec();
                some.remove(at);
                assert!(find_by_words(&some.join(" ")).is_none(), "{some:?}");
            }
        }
        let far = format!("your account {} is locked", "x".repeat(NEAR));
        assert!(find_by_words(&far).is_none());
        let later = format!("{far}, and this account is locked too");
        assert!(find_by_words(&later).is_some_and(|entry| entry.code == "10525"));
        let key = "Consumer key 01234567-89ab-cdef-0123-456789abcdef is invalid";
        assert!(find_by_words(key).is_some_and(|entry| entry.code == "invalid_client"));
        for said in [
            "",
            "unauthorised",
            "Invalid MPIN.",
            "Invalid credentials or TOTP.",
            "Your account was unlocked",
        ] {
            assert!(find_by_words(said).is_none(), "{said}");
        }
    }
}
