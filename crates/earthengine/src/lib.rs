//! earthengine
