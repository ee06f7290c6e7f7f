/*
 * Log in to Kotak Neo from C++.
 *
 *     login totp        mobile number, UCC and TOTP, then the MPIN  (the default)
 *     login password    mobile number and password, then OTP or MPIN
 *
 * All input comes from the environment: KNEO_CONFIG, KNEO_MOBILE_NUMBER, KNEO_UCC,
 * KNEO_TOTP or KNEO_TOTP_SECRET, KNEO_MPIN, KNEO_PASSWORD, KNEO_OTP.
 *
 * For each call one line is printed: its name, its status, and its JSON with
 * tokens and personal data masked.
 */
#include "input.hpp"
#include "kotak_neo.hpp"

#include <cstdlib>
#include <exception>
#include <iostream>
#include <stdexcept>
#include <string_view>

namespace {

// Runs one call and prints its line, whether it is done or throws.
template <typename Call>
void show(std::string_view operation, Call call)
{
    try {
        const kneo::response response = call();
        std::cout << operation << ": " << response.status() << ' ' << response.redacted() << '\n';
    } catch (const kneo::error &error) {
        std::cout << operation << ": " << error.status() << ' ' << error.redacted() << '\n';
        throw;
    }
}

void log_in(std::string_view way)
{
    kneo::client client(need("KNEO_CONFIG"));
    const std::string_view mobile_number = need("KNEO_MOBILE_NUMBER");
    if (way == "totp") {
        show("totp_login", [&] {
            return client.totp_login(mobile_number, need("KNEO_UCC"), totp_of_now());
        });
        show("totp_validate", [&] { return client.totp_validate(need("KNEO_MPIN")); });
    } else if (way == "password") {
        show("login", [&] {
            return client.login(mobile_number, std::nullopt, std::nullopt, need("KNEO_PASSWORD"));
        });
        show("session_2fa", [&] { return client.session_2fa(need("KNEO_OTP")); });
    } else {
        throw std::runtime_error("usage: login [totp|password]");
    }
    show("session_info", [&] { return client.session_info(); });
    show("logout", [&] { return client.logout(); });
}

} // namespace

int main(int argc, char **argv)
{
    bool ok = true;
    try {
        log_in(argc > 1 ? argv[1] : "totp");
    } catch (const std::exception &error) {
        std::cerr << error.what() << '\n';
        ok = false;
    }
    if (!kneo::shutdown(std::chrono::seconds(5))) {
        std::cerr << "the library's threads did not end in time\n";
        ok = false;
    }
    const std::int32_t live = kneo::live_handles();
    std::cout << "live handles: " << live << '\n';
    return ok && live == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
