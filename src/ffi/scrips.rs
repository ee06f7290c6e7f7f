//! Instruments.

use std::ffi::c_char;

use super::client::kneo_client;
use super::respond::respond_with;
use super::response::kneo_response;
use super::text::required;

/// Searches the instruments of a segment. Needs the consumer key, but no
/// login, in generation 3. The first search of a day (IST) downloads the
/// segment's file, unless "cache_dir" has it; later ones need no network and
/// take microseconds.
///
/// client: a live client.
/// params: a JSON object with the official SDK's keyword names:
/// - "exchange_segment": nse_cm, bse_cm, nse_fo, bse_fo, mcx_fo, cde_fo,
///   nse_com, or NSE, BSE, NFO, BFO, MCX, CDS in upper or lower case
/// - "symbol": part of the underlying's name (pSymbolName), as text, without
///   regard to case; all unless given
/// - "expiry": a day like "22SEP2026", or a range "01SEP2026-30SEP2026"; not
///   for cash segments
/// - "option_type": CE, PE, FUT, or several separated by commas
/// - "strike_price" in rupees: one value, "24000-25000", ">24000", "<24000";
///   the ends are included
/// - "ignore_50multiple": taken and ignored, as by the SDK
/// - "token" (pSymbol, a number or text) or "trading_symbol" (pTrdSymbol): the
///   exact scrip, instead of "symbol"; blanks and case make no difference
///
/// "timeout_ms" is the "download" timeout unless given.
///
/// Returns KNEO_OK with a list of the file's rows, by strike: its columns, each
/// cell a number, true, false, text or null by itself; "pExpiryDate" is a day
/// like "22Sep2026" in derivative segments. The file counts strikes and ticks
/// differently in each segment, so every row also has, as numbers or null:
/// - "strike_price" and "tick_size", in rupees
/// - "lot_size": units of the underlying in a lot, as the broker counts orders
/// - "contract_size": what a price is multiplied by to give the value of a lot
/// - "freeze_quantity", in the units of "lot_size"; null: none is known
///
/// No match is an empty list. kneo_response_meta has "scrip_day" (YYYY-MM-DD)
/// and "stale": true if today's file cannot be had, or the broker's list has an
/// older one yet, and that serves;
/// "scrip_rows", and what of the file could not be read: "bad_rows", which no
/// search finds, and "bad_cells", which count as blank; "date_conflicts":
/// contracts whose expiry is not the day in their name. "notes" says each in
/// words. Otherwise the errors of a read; KNEO_PROTOCOL names a column that this
/// search needs and the file lacks. May be repeated.
///
/// # Safety
///
/// params must be NULL or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kneo_search_scrip(
    client: *mut kneo_client,
    params: *const c_char,
) -> *mut kneo_response {
    respond_with("search_scrip", client, |client| {
        // SAFETY: the caller promises a text or NULL.
        let params = unsafe { required("params", params) }?;
        client.search_scrip(params)
    })
}

/// How far downloads of scrip files are, and what is at hand. Needs no network;
/// call it from another thread while kneo_search_scrip waits.
///
/// client: a live client.
///
/// Returns KNEO_OK with {"today","cache_dir","segments":[{"exchange_segment",
/// "state","bytes","total_bytes","day","stale","from_cache","rows","bad_rows",
/// "bad_cells","date_conflicts","error"}]}: "state" is none, downloading,
/// indexing, ready or failed;
/// "total_bytes" is null where the broker does not tell it; "day" is the day of
/// the file in use (YYYY-MM-DD), that in its URL where there is one, or null.
/// Segments that nobody searched are not listed.
#[unsafe(no_mangle)]
pub extern "C" fn kneo_scrip_status(client: *mut kneo_client) -> *mut kneo_response {
    respond_with("scrip_status", client, |client| client.scrip_status())
}
