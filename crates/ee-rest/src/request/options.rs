//! The options that clients and requests share.

use std::time::Duration;

use ee_token::RetryPolicy;

use crate::{Error, WorkloadTag};

/// The options of a client's requests, or of one request. The request's own take precedence.
#[derive(Debug, Clone, Default)]
pub(crate) struct RequestOptions {
    pub(crate) retry: Option<RetryPolicy>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) deadline: Option<Duration>,
    pub(crate) max_response_size: Option<usize>,
    /// `Some(None)` sends no tag.
    pub(crate) workload_tag: Option<Option<WorkloadTag>>,
    pub(crate) profiling: Option<bool>,
    /// The first validation error.
    pub(crate) error: Option<Error>,
}

impl RequestOptions {
    pub(crate) fn set_workload_tag(&mut self, tag: &str) {
        match tag {
            "" => self.workload_tag = Some(None),
            tag => match WorkloadTag::new(tag) {
                Ok(tag) => self.workload_tag = Some(Some(tag)),
                Err(error) => self.record_error(error),
            },
        }
    }

    pub(crate) fn record_error(&mut self, error: Error) {
        self.error.get_or_insert(error);
    }
}

/// Implements the setters of the [`RequestOptions`] in a field of a builder.
macro_rules! request_options {
    ($builder:ident, $($field:ident).+) => {
        impl $builder {
            /// Sets the policy for retrying transient failures. Defaults to 5 retries within 10
            /// minutes. Once the server has accepted a request of the client, and while other calls
            /// wait, too, rejections by a rate limit and failures during an outage do not count as
            /// retries. The policy's [`max_elapsed`](ee_token::RetryPolicy::max_elapsed) is counted
            /// from the start of the first attempt and also limits attempts in progress.
            pub fn retry_policy(mut self, retry: ee_token::RetryPolicy) -> Self {
                self.$($field).+.retry = Some(retry);
                self
            }

            /// Sets the timeout of one attempt, from connecting to the last byte of the response.
            /// Defaults to 330 seconds, slightly more than Earth Engine allows a request.
            pub fn timeout(mut self, timeout: std::time::Duration) -> Self {
                self.$($field).+.timeout = Some(timeout);
                self
            }

            /// Sets the deadline of a whole call: queueing, every attempt, and the backoff between
            /// them. By default only the retry policy limits the attempts, and queueing is
            /// unlimited.
            pub fn deadline(mut self, deadline: std::time::Duration) -> Self {
                self.$($field).+.deadline = Some(deadline);
                self
            }

            /// Sets the workload tag, which labels computing time in usage statistics and on the
            /// bill. An empty string means no tag. A `workloadTag` in the body takes precedence.
            /// Methods that do not support workload tags are sent none.
            pub fn workload_tag(mut self, tag: impl AsRef<str>) -> Self {
                self.$($field).+.set_workload_tag(tag.as_ref());
                self
            }

            /// Requests a profile of the computation. Its ID is reported by
            /// [`ClientEvent::Profile`](crate::ClientEvent::Profile) and
            /// [`Response::profile_id`](crate::Response::profile_id).
            pub fn profiling(mut self, yes: bool) -> Self {
                self.$($field).+.profiling = Some(yes);
                self
            }

            /// Sets the maximum response size, in bytes. A longer response fails with
            /// [`ErrorKind::InvalidResponse`](crate::ErrorKind::InvalidResponse). Defaults to 128
            /// MiB. [`send_streaming`](crate::RequestBuilder::send_streaming) has no limit unless
            /// it is set on the request. (At most 64 KiB of an error response are read.)
            pub fn max_response_size(mut self, bytes: usize) -> Self {
                self.$($field).+.max_response_size = Some(bytes);
                self
            }
        }
    };
}

pub(crate) use request_options;
