//! Every label value that is a word: why a request was refused, how an attempt failed, the class of a status code. They
//! stand in metrics, logs and responses, and people build dashboards and alerts on them.

/// Makes an enum whose variants are words of a metric label.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum $name { $($(#[$variant_doc])* $variant,)* }

        impl $name {
            /// All of them.
            pub const ALL: [Self; [$($word),*].len()] = [$(Self::$variant),*];

            /// The word, as metrics, logs and answers show it.
            #[must_use]
            pub fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }
    };
}

words! {
    /// A class of status codes.
    CodeClass {
        /// 100 to 199.
        Informational = "1xx",
        /// 200 to 299.
        Success = "2xx",
        /// 300 to 399.
        Redirection = "3xx",
        /// 400 to 499.
        ClientError = "4xx",
        /// 500 and above.
        ServerError = "5xx",
        /// The client went before there was an answer.
        None = "none",
    }
}

impl CodeClass {
    /// The class of a status code.
    #[must_use]
    pub fn of(status: http::StatusCode) -> Self {
        match status.as_u16() {
            ..200 => Self::Informational,
            200..300 => Self::Success,
            300..400 => Self::Redirection,
            400..500 => Self::ClientError,
            500.. => Self::ServerError,
        }
    }
}

words! {
    /// What became of a token that a rule or a key looks at, where tokens are verified.
    JwtOutcome {
        /// Its signature and its claims are good.
        Verified = "verified",
        /// It was verified before, and is good still.
        Known = "known",
        /// It, or its payload, is too large.
        TooLarge = "too_large",
        /// It is no signed JWT.
        Malformed = "malformed",
        /// Its algorithm is not allowed.
        BadAlgorithm = "bad_algorithm",
        /// No key of its id and algorithm is known.
        UnknownKey = "unknown_key",
        /// It has no end.
        NoExpiry = "no_expiry",
        /// Its time is over.
        Expired = "expired",
        /// Its time has not come.
        NotYetValid = "not_yet_valid",
        /// It is from another issuer.
        WrongIssuer = "wrong_issuer",
        /// It is for others.
        WrongAudience = "wrong_audience",
        /// Its signature is not the key's.
        BadSignature = "bad_signature",
    }
}

words! {
    /// How an attempt failed by the upstream's fault.
    UpstreamFailure {
        /// No connection in time, or refused.
        Connect = "connect",
        /// The connection ended before there was an answer.
        Reset = "reset",
        /// No head of an answer in time.
        Timeout = "timeout",
        /// An answer that breaks the rules of HTTP.
        BadAnswer = "bad_answer",
        /// The body of the answer ended early or broke its framing.
        ShortBody = "short_body",
        /// The body of the answer stalled.
        BodyTimeout = "body_timeout",
        /// A status of 500 or above.
        Status = "status_5xx",
    }
}

words! {
    /// How the first attempt of a request ended.
    FirstAttempt {
        /// With an answer below 500, or by the client's fault.
        Ok = "ok",
        /// By the upstream's fault.
        Failed = "failed",
    }
}

words! {
    /// What kept the failure of a first attempt from the user.
    HiddenBy {
        /// Another attempt on the same version.
        Retry = "retry",
        /// The stable version, or another one.
        Shield = "shield",
    }
}

words! {
    /// Why a request was sent once more.
    Retry {
        /// Nothing of it had been written.
        Unsent = "unsent",
        /// The endpoint has not looked at it, and said so: a stream that it refused, or above the last one of its
        /// GOAWAY.
        Unprocessed = "unprocessed",
        /// The connection had been used before, and broke.
        Reused = "reused",
        /// The version failed, and the stable one answered in its place.
        Shield = "shield",
    }
}

words! {
    /// How a TLS session with a client came about.
    TlsHandshake {
        /// With a key exchange and our private key.
        Full = "full",
        /// From a ticket of an earlier one.
        Resumed = "resumed",
    }
}

words! {
    /// Why the proxy answered by itself, or hung up: the stable reason words.
    RejectReason {
        /// The head could not be parsed.
        BadHead = "bad_head",
        /// Not exactly one valid `Host`, or one that differs from the target's.
        BadHost = "bad_host",
        /// A target that no upstream should see.
        BadTarget = "bad_target",
        /// `Content-Length` and `Transfer-Encoding` that contradict each other or themselves.
        BadFraming = "bad_framing",
        /// A transfer coding other than `chunked`.
        UnknownCoding = "unknown_transfer_coding",
        /// A `Connection` header that names what it must not, or too much.
        BadConnection = "bad_connection_header",
        /// A method that is not forwarded.
        MethodNotAllowed = "method_not_allowed",
        /// A target that is too long.
        TargetTooLong = "target_too_long",
        /// A request that has been through this process already.
        Loop = "loop",
        /// A request for a host that the certificate of its connection is not for.
        Misdirected = "misdirected",
        /// A head that is too large.
        HeadTooLarge = "head_too_large",
        /// The TLS handshake failed.
        TlsHandshake = "tls_handshake_failed",
        /// The TLS handshake was not over in time.
        TlsTimeout = "tls_handshake_timeout",
        /// A listener without TLS sent the client to the https URL.
        RedirectedToHttps = "redirected_to_https",
        /// A rule, or the canonical host of a service, sent the client elsewhere.
        Redirected = "redirected",
        /// A rule responded with a page.
        FixedResponse = "fixed_response",
        /// The head did not come in time.
        HeadTimeout = "head_timeout",
        /// The client sent frames that only cost us: requests that it took back, heads without an end (HTTP/2).
        Flood = "flood",
        /// The client's body broke its framing.
        BadBody = "bad_body",
        /// The client's body stalled.
        BodyTimeout = "request_body_timeout",
        /// The client went before its answer.
        ClientGone = "client_gone",
        /// No service answers this host and path.
        NoService = "no_service",
        /// No version of the service has a usable endpoint.
        NoEndpoint = "no_endpoint",
        /// No connection to any endpoint.
        ConnectFailed = "connect_failed",
        /// The upstream hung up before it answered.
        UpstreamReset = "upstream_reset",
        /// The upstream did not answer in time.
        UpstreamTimeout = "upstream_timeout",
        /// The upstream's answer broke the rules of HTTP.
        UpstreamBadAnswer = "upstream_bad_answer",
        /// A peer that may not send the PROXY protocol connected to a listener that wants it.
        ProxyHeaderForeign = "proxy_header_not_allowed",
        /// A connection did not begin with a PROXY protocol header.
        BadProxyHeader = "bad_proxy_header",
        /// The PROXY protocol header did not come in time.
        ProxyHeaderTimeout = "proxy_header_timeout",
        /// The listener has as many connections as it may.
        TooManyConnections = "too_many_connections",
        /// The client's address has as many connections as it may.
        TooManyOfAddress = "too_many_connections_of_address",
        /// The connection waited for its client, and made room for another one.
        Displaced = "displaced",
        /// The client has as many requests on streams as there are connections to endpoints for them.
        TooManyOfClient = "too_many_requests_of_client",
        /// There is no descriptor left for another connection to an endpoint.
        OutOfDescriptors = "out_of_descriptors",
        /// The client asks too often.
        RateLimited = "rate_limited",
        /// The proxy has as many requests in flight as it may.
        Overloaded = "overloaded",
        /// The service has as many requests in flight as it may, and as many waiting.
        QueueFull = "service_overloaded",
        /// No place among the service's requests became free in time.
        QueueTimeout = "queue_timeout",
        /// The body is larger than the service takes.
        BodyTooLarge = "request_body_too_large",
        /// The body came too slowly.
        BodyTooSlow = "request_body_too_slow",
        /// A bug of ours ended the request.
        Internal = "internal",
    }
}

words! {
    /// What became of a call for flags (OFREP).
    FlagCallOutcome {
        /// Flags were evaluated, and told.
        Evaluated = "evaluated",
        /// They were evaluated, and the client has the result already.
        NotModified = "not_modified",
        /// A stream of change events began.
        Subscribed = "subscribed",
        /// A browser asked what a page may do.
        Preflight = "preflight",
        /// The body or the context is not good.
        BadRequest = "bad_request",
        /// There is no such flag.
        FlagNotFound = "flag_not_found",
        /// There is no such call.
        NoSuchCall = "no_such_call",
        /// The call has another method.
        WrongMethod = "wrong_method",
        /// Neither a good token nor a good key.
        NoToken = "no_token",
        /// A page of another origin, which may not ask.
        ForeignOrigin = "foreign_origin",
        /// There are as many streams of change events as may be.
        TooManyStreams = "too_many_streams",
    }
}

words! {
    /// What became of a call with events of users.
    EventCallOutcome {
        /// All of its events are recorded.
        Recorded = "recorded",
        /// A browser asked what a page may do.
        Preflight = "preflight",
        /// The body is not JSON.
        BadJson = "bad_json",
        /// The body is larger than a batch may be.
        TooLarge = "body_too_large",
        /// The body is not said to be JSON.
        WrongContentType = "wrong_content_type",
        /// An event is not good.
        Invalid = "invalid",
        /// There is no good token.
        NoToken = "no_token",
        /// A page of another origin, which may not send any.
        ForeignOrigin = "foreign_origin",
        /// The call has another method.
        WrongMethod = "method_not_allowed",
        /// The token has sent more than it may.
        RateLimited = "rate_limited",
        /// There was no room, or no time.
        Busy = "events_busy",
        /// They could not be written.
        Unsaved = "events_unsaved",
    }
}

words! {
    /// What became of an event.
    EventOutcome {
        /// It counts for a metric at least.
        Counted = "counted",
        /// It was counted before.
        SentAgain = "sent_again",
        /// No metric of an experiment that runs is about it.
        NoMetric = "for_no_metric",
        /// The user was not seen in any arm.
        NotExposed = "of_users_who_were_not_exposed",
        /// The user was seen in both.
        InBothArms = "of_users_in_both_arms",
        /// It was before the user's first exposure.
        Before = "before_the_exposure",
        /// It was after the windows of its metrics.
        After = "after_the_window",
    }
}

words! {
    /// Why the admin API did not serve a call or a connection.
    AdminRefused {
        /// A host that is not ours, which may be a name that was bound anew by a page.
        UnknownHost = "unknown_host",
        /// A page of another site.
        UnknownOrigin = "unknown_origin",
        /// Neither a token nor a certificate.
        NoToken = "no_token",
        /// A token that is none of ours.
        BadToken = "bad_token",
        /// A client certificate that no client of the config has.
        UnknownClient = "unknown_client",
        /// One wrong token too many from this address.
        TooManyLogins = "too_many_logins",
        /// The token does not allow it.
        WrongRole = "wrong_role",
        /// All places are taken by calls that are worked on.
        TooManyConnections = "too_many_connections",
        /// All places of the address are.
        TooManyOfAddress = "too_many_connections_of_address",
        /// The connection made room for another one.
        Displaced = "displaced",
        /// The handshake of TLS failed.
        TlsHandshake = "tls_handshake_failed",
        /// The handshake of TLS did not come to its end in time.
        TlsTimeout = "tls_handshake_timeout",
        /// The head did not come in time.
        HeadTimeout = "head_timeout",
        /// The body did not come in time.
        BodyTimeout = "body_timeout",
        /// The answer was not read in time.
        AnswerTimeout = "answer_timeout",
    }
}
