//! The numbers that pace the entries beyond the places. Times are multiples of the duration of a
//! call, so that the number of rejections per success does not depend on it. The numbers come from a
//! simulation of 1 to 20 clients and several kinds of quotas: see `admission/tests.rs`.

/// The interval of a client that has not been rejected lately, and the longest.
pub(super) const INTERVAL: (f64, f64) = (0.2, 200.0);
/// The least interval before it grows by a rejection.
pub(super) const AFTER_REJECTION: f64 = 1.5;
/// The part by which the first rejection of the requests that were in flight together lengthens
/// the interval, and the most that it adds once an entry has succeeded. A proportional growth
/// would make those wait longest who have waited longest.
pub(super) const GROWTH: f64 = 0.2;
pub(super) const MAX_GROWTH: f64 = 0.4;
/// How fast the interval shrinks for a share of 1, the power of the share with which this
/// grows, and the bounds of the share. The rate also grows with the square of the time since
/// the last rejection, and is doubled after `DOUBLED`.
pub(super) const DECAY: f64 = 0.0035;
pub(super) const SHARE_POWER: f64 = 1.6;
pub(super) const SHARE: (f64, f64) = (0.1, 3.0);
pub(super) const DOUBLED: f64 = 40.0;
/// The time over which the share is averaged.
pub(super) const MEMORY: f64 = 60.0;
/// The factor of the interval of a client with more places than its share.
pub(super) const ABOVE_SHARE: f64 = 2.7;
/// The interval above which places are given up after a number of successes each.
pub(super) const CONTENDED: f64 = 0.6;
/// The number of successes for a share of at least `SMALL_SHARE`, and how it grows for smaller
/// ones: a quota of few places loses more while a place is not used.
pub(super) const TURN: f64 = 11.0;
pub(super) const SMALL_SHARE: f64 = 2.0;
pub(super) const SMALL_SHARE_POWER: f64 = 0.7;
/// The number of places from which each is given up after more successes.
pub(super) const MANY: f64 = 2.5;
/// The places that a rejection costs beside its own, as a part of the square root of all.
pub(super) const LOSS: f64 = 0.53;
