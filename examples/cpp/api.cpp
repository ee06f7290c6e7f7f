/*
 * Checks the promises of kotak_neo.hpp that need no broker: what can be moved
 * and copied, what an error carries, that text with a NUL byte is refused by
 * name, and where loops over feeds end. Ends with 0 when all hold.
 */
#include "kotak_neo.hpp"

#include <chrono>
#include <cstdlib>
#include <ctime>
#include <iostream>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <type_traits>
#include <utility>

static_assert(!std::is_copy_constructible_v<kneo::client>);
static_assert(!std::is_copy_assignable_v<kneo::client>);
static_assert(std::is_nothrow_move_constructible_v<kneo::client>);
static_assert(std::is_nothrow_move_assignable_v<kneo::client>);
static_assert(!std::is_copy_constructible_v<kneo::response>);
static_assert(std::is_nothrow_move_constructible_v<kneo::response>);
static_assert(std::is_nothrow_copy_constructible_v<kneo::error>);
static_assert(!std::is_copy_constructible_v<kneo::feed>);
static_assert(std::is_nothrow_move_constructible_v<kneo::feed>);
static_assert(std::is_nothrow_move_assignable_v<kneo::feed>);
static_assert(!std::is_copy_constructible_v<kneo::order_feed>);
static_assert(std::is_nothrow_move_constructible_v<kneo::order_feed>);
static_assert(std::is_nothrow_move_assignable_v<kneo::order_feed>);

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
                  check(contains(error.what(), "config"), "a NUL byte names the argument");
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

// A client that is logged in, at a broker who never answers.
kneo::client logged_in()
{
    kneo::client client(R"({"base_url":"http://127.0.0.1:1"})");
    const std::string session =
        R"({"format":"kotak_neo.session","version":1,"environment":"prod","generation":3,)"
        R"("base_url":"http://127.0.0.1:1","token":"fake-token","sid":"fake-sid","logged_in_at":)" +
        std::to_string(std::time(nullptr)) + "}";
    client.session_import(session);
    return client;
}

void market_feed()
{
    using namespace std::chrono_literals;
    using namespace std::string_view_literals;
    kneo::client stranger;
    must_fail("a feed without a login", [&] { kneo::feed feed(stranger); },
              [](const kneo::error &error) {
                  check(error.status() == KNEO_NOT_LOGGED_IN, "status of a feed without a login");
              });
    kneo::client client = logged_in();
    must_fail("an unknown option", [&] { kneo::feed feed(client, R"({"no_such_option":1})"); },
              [](const kneo::error &error) {
                  check(contains(error.what(), "no_such_option"), "names the option");
              });
    check(kneo::live_handles() == 2, "a feed that was not opened is no handle"); // the clients

    kneo::feed first(client);
    first.subscribe("scrips", "nse_cm|11536");
    first.subscribe("exchange");
    first.unsubscribe("scrips", "nse_cm|11536");
    must_fail("a NUL byte in tokens", [&] { first.subscribe("scrips", "nse\0cm"sv); },
              [](const kneo::error &error) { check(contains(error.what(), "tokens"), "names tokens"); });
    must_fail("a snapshot while it is down", [&] { first.snapshot("scrips", "nse_cm|11536"); },
              [](const kneo::error &error) {
                  check(error.status() == KNEO_NETWORK, "status of a snapshot");
              });
    check(!first.last("nse_cm|11536") && !first.depth("nse_cm|11536"), "no price came");
    must_fail("a malformed instrument", [&] { first.last("nse_cm"); },
              [](const kneo::error &error) {
                  check(error.status() == KNEO_INVALID_ARGUMENT, "status of an instrument");
                  check(contains(error.json(), R"("status":"INVALID_ARGUMENT")"), "and its JSON");
                  check(contains(error.what(), "feed_last"), "and its message");
              });
    kneo_tick one{};
    check(first.read(&one, 1, 60s) == 1 && one.kind == KNEO_KIND_STATE, "a state can be read");
    const std::optional<kneo::response> event = first.next(60s);
    check(event && contains(event->json(), R"("type":"state")"), "and the next as JSON");

    kneo::feed second = std::move(first);
    must_fail("a loop over a moved-from feed", [&] { for (const auto &tick : first.ticks(0s)) (void)tick; },
              [](const kneo::error &error) {
                  check(error.status() == KNEO_INVALID_HANDLE, "status of a moved-from feed");
              });
    for (const kneo_tick &tick : second.ticks(-1s)) // does not wait
        check(tick.kind == KNEO_KIND_STATE, "nothing but states comes, and then the end");
    for (const kneo_tick &tick : second.ticks(60s)) {
        check(!kneo::state_name(tick.feed_state).empty(), "a state has a name");
        second.stop();
    }
    must_fail("a feed that was stopped", [&] { second.status(); },
              [](const kneo::error &error) {
                  check(error.status() == KNEO_INVALID_HANDLE, "status of a stopped feed");
              });

    kneo::feed third(client);
    std::thread stopper([&] { third.stop(); });
    for (const kneo_tick &tick : third.ticks(1h))
        check(tick.kind == KNEO_KIND_STATE, "another thread ends the loop");
    stopper.join();

    kneo::feed fourth(client);
    client = kneo::client();
    for (const kneo_tick &tick : fourth.ticks(1h))
        check(tick.kind == KNEO_KIND_STATE, "the end of the client ends the loop");
    check(kneo::live_handles() == 4, "assigning freed the client"); // clients, feed, event
}

void order_feed()
{
    using namespace std::chrono_literals;
    kneo::client client = logged_in();
    kneo::order_feed first(client, R"({"reconnect_first_ms":10,"reconnect_cap_ms":20})");
    check(contains(first.status().json(), R"("state")"), "its status can be read");
    const std::optional<kneo::response> event = first.next(60s);
    check(event && contains(event->json(), R"("sequence":1,)"), "the first event");
    kneo::order_feed second = std::move(first);
    must_fail("a loop over a moved-from order feed",
              [&] { for (const auto &none : first.events(0s)) (void)none; },
              [](const kneo::error &error) {
                  check(error.status() == KNEO_INVALID_HANDLE, "status of a moved-from order feed");
              });
    int events = 0;
    for (const kneo::response &one : second.events(60s)) {
        check(contains(one.json(), R"("type":"state")"), "a state of the order feed");
        if (++events == 5)
            second.stop();
    }
    check(events == 5, "stop ends the loop");

    kneo::order_feed third(client);
    client = kneo::client();
    for (const kneo::response &one : third.events(1h))
        check(one.status() == KNEO_OK, "the end of the client ends the loop");
}

} // namespace

int main()
{
    try {
        run();
        market_feed();
        order_feed();
    } catch (const std::exception &error) {
        check(false, error.what());
    }
    check(kneo::live_handles() == 0, "everything is freed");
    check(kneo::shutdown(std::chrono::seconds(5)), "the library shuts down");
    return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
