//! A ledger file, looked at without a client.

use std::ffi::c_char;

use super::respond::respond;
use super::response::kneo_response;
use super::text::required;

/// The instructions that are open in a ledger file, whoever has it: a program of
/// another process that runs, that has crashed, or none. Reads only; it neither
/// holds the file nor keeps its holder from anything. Needs no client and no
/// network.
///
/// ledger_file: the path that the configuration has as "ledger_file", or another
///   name of that file.
///
/// Returns KNEO_OK with {"intents":[...],"held_by":{"pid","since"}}: the intents
/// as kneo_open_intents gives them, those whose call is running too; "held_by"
/// is null if no client has the file open, "pid" is the process that has and
/// "since" the unix second of its opening, each null where it is not known.
/// KNEO_INVALID_ARGUMENT if there is no such file, if it is no ledger, is damaged
/// or was written by a newer version.
///
/// # Safety
///
/// ledger_file must be NULL or NUL-terminated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kneo_ledger_open_intents(
    ledger_file: *const c_char,
) -> *mut kneo_response {
    respond("ledger_open_intents", || {
        // SAFETY: the caller promises a text or NULL.
        let ledger_file = unsafe { required("ledger_file", ledger_file) }?;
        crate::client::ledger_open_intents(ledger_file)
    })
}
