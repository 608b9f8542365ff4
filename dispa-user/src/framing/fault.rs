//! What is wrong with a message.

/// Why a message is refused. Each names the rule it breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// RFC 9112 section 2.2.
    #[error("a line does not end in CR LF, or has a CR or LF in it")]
    LineEnd,
    /// RFC 9112 section 2.2: one may be skipped.
    #[error("empty lines before the request")]
    EmptyLines,
    /// RFC 9112 section 3.
    #[error("the request line is not `method target version`, each separated by one space")]
    RequestLine,
    /// RFC 9110 section 9.1.
    #[error("the method is not a token of at most 32 characters")]
    Method,
    /// RFC 9112 section 3.2.
    #[error("the target has none of the forms that a request's target can have")]
    Target,
    /// RFC 9110 section 15.5.15.
    #[error("the target is too long")]
    TargetTooLong,
    /// RFC 9112 section 2.3.
    #[error("the version is neither HTTP/1.0 nor HTTP/1.1")]
    Version,
    /// RFC 9112 section 4.
    #[error("the status line is not `version status reason`, or the status is out of range")]
    StatusLine,
    /// RFC 6585 section 5.
    #[error("the head is too large")]
    HeadTooLarge,
    /// RFC 6585 section 5.
    #[error("there are too many header fields")]
    TooManyFields,
    /// RFC 9112 section 5.2.
    #[error("a header field is folded over lines")]
    Folded,
    /// RFC 9112 section 5.1 and RFC 9110 section 5.1.
    #[error("the name of a header field is not a token followed by a colon")]
    FieldName,
    /// RFC 9110 section 5.5.
    #[error("the value of a header field has a control character in it")]
    FieldValue,
    /// RFC 9112 section 3.2.
    #[error("the request must name one valid host, once, the same as in its target")]
    Host,
    /// RFC 9112 section 6.1.
    #[error("a transfer coding is anything but `chunked`, once, in HTTP/1.1")]
    TransferEncoding,
    /// RFC 9112 section 6.3 and RFC 9110 section 8.6.
    #[error("the content length is not one plain number, once")]
    ContentLength,
    /// RFC 9112 section 6.3.
    #[error("there are both a content length and a transfer coding")]
    TwoLengths,
    /// RFC 9110 section 10.1.1.
    #[error("only `100-continue` can be expected")]
    Expectation,
    /// RFC 9112 section 7.1.
    #[error("a chunk is malformed")]
    Chunk,
    /// RFC 9112 section 7.1.2 and RFC 9110 section 6.5.1.
    #[error("a trailer field is malformed, or is one that cannot be a trailer")]
    Trailer,
    /// RFC 9110 section 15.2.2.
    #[error("the protocol was changed without being asked for it")]
    Unasked,
    /// RFC 9110 section 15.2.
    #[error("there is no end of interim responses")]
    Interim,
    /// RFC 9112 section 6.3.
    #[error("there is more than was asked for")]
    Excess,
    /// RFC 9112 section 8.
    #[error("the message breaks off")]
    Incomplete,
    /// RFC 9110 section 15.5.9.
    #[error("the request did not come in time")]
    Late,
}
