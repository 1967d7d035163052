//! For tests of what ends a process: runs one test again in a process of its own.

use std::env;
use std::process::{Command, Output};

/// Names the test that a child is to run.
const VARIABLE: &str = "IORA_TEST_CHILD";

/// The path of the test function `name` in the module that `module_path!()` gave.
fn path(module: &str, name: &str) -> String {
    let (_, module) = module.split_once("::").expect("a module of this crate");
    format!("{module}::{name}")
}

/// Whether this process was made by [`run`] for this very test.
pub(crate) fn is_this(module: &str, name: &str) -> bool {
    env::var(VARIABLE).is_ok_and(|test| test == path(module, name))
}

/// Runs the test `name` of `module` in a child and waits for its end. `limits` are commands of the shell that come
/// first, such as `ulimit`.
pub(crate) fn run(module: &str, name: &str, limits: &str, environment: &[(&str, &str)]) -> Output {
    let test = path(module, name);
    Command::new("sh")
        .args(["-c", &format!("ulimit -c 0; {limits}\nexec \"$@\""), "sh"])
        .arg(env::current_exe().expect("a test has a file"))
        .args([&test, "--exact", "--nocapture", "--test-threads=1"])
        .env(VARIABLE, &test)
        .envs(environment.iter().copied())
        .output()
        .expect("a shell to run the test in")
}

/// What a child wrote to its standard error.
pub(crate) fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
