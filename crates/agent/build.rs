//! How the agent is linked.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "linux") {
        // Bound at once: a symbol that a Node.js lacks must fail `dlopen`, not kill the process at the first call.
        println!("cargo:rustc-cdylib-link-arg=-Wl,-z,now");
        // Never unmapped: a thread or a signal may be inside when somebody closes the library.
        println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    }
}
