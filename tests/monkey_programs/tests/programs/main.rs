//! Programs that nobody here wrote for greenlets, unmodified, in greenlets of one thread (`ci/monkey.sh` runs these).
//!
//! Each makes ten calls that take 300 ms, at once. The servers are real ones, or threads that block.

#[cfg(any(feature = "curl", feature = "libpq", feature = "openssl"))]
mod coverage;
#[cfg(feature = "curl")]
mod curl;
mod hyper;
mod lettre;
#[cfg(feature = "libpq")]
mod libpq;
mod mio;
mod mysql;
#[cfg(feature = "openssl")]
mod native_tls;
mod postgres;
mod redis;
mod timeouts;
mod tiny_http;
mod tungstenite;
mod ureq;
