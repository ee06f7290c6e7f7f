/*
 * Checks the promises of kotak_neo.hpp that need no broker: what can be moved
 * and copied, what an error carries, and that text with a NUL byte is refused
 * by name. Ends with 0 when all hold.
 */
#include "kotak_neo.hpp"

#include <cstdlib>
#include <iostream>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

static_assert(!std::is_copy_constructible_v<kneo::client>);
static_assert(!std::is_copy_assignable_v<kneo::client>);
static_assert(std::is_nothrow_move_constructible_v<kneo::client>);
static_assert(std::is_nothrow_move_assignable_v<kneo::client>);
static_assert(!std::is_copy_constructible_v<kneo::response>);
static_assert(std::is_nothrow_move_constructible_v<kneo::response>);
static_assert(std::is_nothrow_copy_constructible_v<kneo::error>);

namespace {

int failures = 0;

void check(bool holds, std::string_view what)
{
    if (!holds) {
        std::cerr << "does not hold: " << what << '\n';
        ++failures;
    }
}

// Runs a call that must fail, and gives its error to `look`.
template <typename Call, typename Look>
void must_fail(std::string_view what, Call call, Look look)
{
    try {
        call();
        check(false, what);
    } catch (const kneo::error &error) {
        look(error);
    }
}

bool contains(std::string_view text, std::string_view part)
{
    return text.find(part) != std::string_view::npos;
}

void run()
{
    using namespace std::string_view_literals;
    check(kneo::abi_version() == KNEO_ABI_VERSION, "header and library have one ABI");
    check(!kneo::version().empty(), "the version is told");

    must_fail("an unknown key is refused", [] { kneo::client(R"({"no_such_key":1})"); },
              [](const kneo::error &error) {
                  check(error.status() == KNEO_INVALID_ARGUMENT, "its status");
                  check(contains(error.json(), R"("status":"INVALID_ARGUMENT")"), "its JSON");
                  check(contains(error.what(), "no_such_key"), "its message names the key");
              });
    must_fail("a NUL byte is refused", [] { kneo::client("{\0}"sv); },
              [](const kneo::error &error) {
                  check(error.status() == KNEO_INVALID_ARGUMENT, "status of a NUL byte");
                  check(contains(error.what(), "config_json"), "a NUL byte names the argument");
              });

    kneo::client first;
    check(kneo::live_handles() == 1, "one client is one handle");
    must_fail("a NUL byte in a later argument", [&] { first.totp_login("9999999999", "AB\0C1"sv, "123456"); },
              [](const kneo::error &error) { check(contains(error.what(), "ucc"), "names ucc"); });
    must_fail("two identifiers", [&] { first.login("9999999999", "user", std::nullopt, "x"); },
              [](const kneo::error &error) {
                  check(error.status() == KNEO_INVALID_ARGUMENT, "status of two identifiers");
              });
    must_fail("validate before login", [&] { first.totp_validate("123456"); },
              [](const kneo::error &error) {
                  check(error.status() == KNEO_NOT_LOGGED_IN, "status before login");
              });

    kneo::client second = std::move(first);
    check(first.get() == nullptr && second.get() != nullptr, "a move hands over the handle");
    must_fail("a moved-from client", [&] { first.session_info(); },
              [](const kneo::error &error) {
                  check(error.status() == KNEO_INVALID_HANDLE, "status of a moved-from client");
              });
    kneo::response info = second.session_info();
    const kneo::response kept = std::move(info);
    check(kept.status() == KNEO_OK && !kept.json().empty(), "a moved response can be read");
    second = kneo::client();
    check(kneo::live_handles() == 2, "assigning frees the old client"); // client, response
}

} // namespace

int main()
{
    try {
        run();
    } catch (const std::exception &error) {
        check(false, error.what());
    }
    check(kneo::live_handles() == 0, "everything is freed");
    check(kneo::shutdown(std::chrono::seconds(5)), "the library shuts down");
    return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
