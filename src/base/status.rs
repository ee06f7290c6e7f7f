//! The statuses of the C ABI. Their numbers never move and are never reused.

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum Status {
    /// Done.
    Ok = 0,
    /// An argument is missing, malformed or not allowed. Nothing of what it refuses
    /// was sent.
    InvalidArgument = 1,
    /// The handle is NULL, freed or foreign. Nothing was sent.
    InvalidHandle = 2,
    /// A login step that this call needs has not happened. Nothing was sent.
    NotLoggedIn = 3,
    /// The broker no longer accepts this session.
    SessionExpired = 4,
    /// The broker answered, and said no.
    Rejected = 5,
    /// The local budget is used up, or the broker answered 429.
    RateLimited = 6,
    /// No answer in time.
    Timeout = 7,
    /// Name lookup, connection or TLS failed, or an answer was cut off.
    Network = 8,
    /// An order instruction may have been taken.
    UnknownOutcome = 9,
    /// The answer is not what the broker documents, or is too large.
    Protocol = 10,
    /// The broker answered 5xx, 424 or its code 1005.
    Unavailable = 11,
    /// The call was cancelled, or its handle was closed or interrupted while it
    /// waited.
    Closed = 12,
    /// A defect in this library.
    Internal = 13,
    /// A wait ended with nothing to give.
    End = 14,
}

impl Status {
    /// The number that stands for this status in the C ABI.
    #[must_use]
    pub const fn code(self) -> i32 {
        self as i32
    }

    /// The name that error bodies use, for example `REJECTED`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::InvalidArgument => "INVALID_ARGUMENT",
            Self::InvalidHandle => "INVALID_HANDLE",
            Self::NotLoggedIn => "NOT_LOGGED_IN",
            Self::SessionExpired => "SESSION_EXPIRED",
            Self::Rejected => "REJECTED",
            Self::RateLimited => "RATE_LIMITED",
            Self::Timeout => "TIMEOUT",
            Self::Network => "NETWORK",
            Self::UnknownOutcome => "UNKNOWN_OUTCOME",
            Self::Protocol => "PROTOCOL",
            Self::Unavailable => "UNAVAILABLE",
            Self::Closed => "CLOSED",
            Self::Internal => "INTERNAL",
            Self::End => "END",
        }
    }

    /// Whether the same call may succeed if it is simply made again.
    pub(crate) const fn is_transient(self) -> bool {
        matches!(
            self,
            Self::RateLimited | Self::Timeout | Self::Network | Self::Unavailable | Self::Closed
        )
    }
}
