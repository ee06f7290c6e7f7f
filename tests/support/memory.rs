//! What this process holds in memory.

use std::fs;

/// Resident memory, in KiB.
pub fn resident_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux shows it");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.map(|text| text.trim_end_matches("kB").trim().parse());
    number.expect("it is listed").expect("a number")
}
