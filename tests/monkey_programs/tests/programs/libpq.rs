//! libpq, PostgreSQL's own C library, against a real server.
#![expect(unsafe_code, reason = "calls functions of C")]

use std::ffi::{CStr, CString, c_char, c_int, c_void};

use iora_monkey_programs::database::Database;
use iora_monkey_programs::overlap::{DELAY, overlap};

#[link(name = "pq")]
unsafe extern "C" {
    fn PQconnectdb(address: *const c_char) -> *mut c_void;
    fn PQstatus(connection: *const c_void) -> c_int;
    fn PQerrorMessage(connection: *const c_void) -> *const c_char;
    fn PQexec(connection: *mut c_void, query: *const c_char) -> *mut c_void;
    fn PQntuples(result: *const c_void) -> c_int;
    fn PQgetvalue(result: *const c_void, row: c_int, column: c_int) -> *const c_char;
    fn PQclear(result: *mut c_void);
    fn PQfinish(connection: *mut c_void);
}

/// `CONNECTION_OK`.
const OK: c_int = 0;

/// What a query finds in its only row and column, or what the library complains about.
pub(super) fn ask(address: &str, query: &str) -> Result<String, String> {
    let (address, query) = (CString::new(address).expect("text"), CString::new(query).expect("text"));
    // SAFETY: a string.
    let connection = unsafe { PQconnectdb(address.as_ptr()) };
    // SAFETY: a connection, open or not.
    let answer = match unsafe { PQstatus(connection) } {
        OK => first_value(connection, &query),
        _ => None,
    };
    let answer = answer.ok_or_else(|| {
        // SAFETY: a connection, open or not.
        let text = unsafe { PQerrorMessage(connection) };
        // SAFETY: a string of the connection's.
        unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
    });
    // SAFETY: not used any more.
    unsafe { PQfinish(connection) };
    answer
}

/// What a query on an open connection finds.
fn first_value(connection: *mut c_void, query: &CStr) -> Option<String> {
    // SAFETY: an open connection and a string.
    let result = unsafe { PQexec(connection, query.as_ptr()) };
    // SAFETY: null or a result, both of which it takes.
    let count = unsafe { PQntuples(result) };
    let value = (count == 1).then(|| {
        // SAFETY: it has a row.
        let value = unsafe { PQgetvalue(result, 0, 0) };
        // SAFETY: a string of the result's.
        unsafe { CStr::from_ptr(value) }.to_string_lossy().into_owned()
    });
    // SAFETY: not used any more.
    unsafe { PQclear(result) };
    value
}

#[test]
fn libpq_sleeps_in_the_server() {
    let database = Database::start();
    let address = database.address();
    overlap(move |number| {
        let query = format!("select {number} from pg_sleep({})", DELAY.as_secs_f64());
        assert_eq!(ask(&address, &query), Ok(number.to_string()));
    });
}
