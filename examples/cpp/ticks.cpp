/*
 * Live orders and prices in C++, with a range-for each.
 *
 *     ticks [COUNT [INSTRUMENT...]]
 *
 * It prints the orders of the day as the order feed tells them, and then COUNT
 * prices (20 unless given) of the instruments: "nse_cm|11536", or the name of an
 * index, "nse_cm|Nifty 50". The input is that of login.cpp.
 */
#include "input.hpp"
#include "kotak_neo.hpp"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <exception>
#include <iomanip>
#include <iostream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace {

constexpr std::chrono::seconds patience(30);

// What the library says of an event; the broker's row under "data" is long.
std::string without_data(std::string_view json)
{
    const std::size_t at = json.find(R"(,"data":)");
    return at == std::string_view::npos ? std::string(json) : std::string(json.substr(0, at)) + "}";
}

// Prints what the order feed tells until the orders of the day were told.
void show_orders(kneo::client &client)
{
    kneo::order_feed orders(client);
    for (const kneo::response &event : orders.events(patience)) {
        std::cout << "order feed: " << without_data(event.redacted()) << '\n';
        if (event.json().find(R"("type":"books","ok":true)") != std::string_view::npos)
            return;
    }
    throw std::runtime_error("the books were not read in time");
}

void show_price(const kneo_tick &tick)
{
    const char *symbol = tick.kind == KNEO_KIND_INDEX ? tick.name : tick.trading_symbol;
    std::cout << symbol << ' ' << tick.last_traded_price;
    if (tick.valid & KNEO_HAS_NET_CHANGE_PERCENT)
        std::cout << " (" << std::showpos << tick.net_change_percent << std::noshowpos << " %)";
    if (tick.valid & KNEO_HAS_BUY)
        std::cout << ", bid " << tick.buy_price;
    if (tick.valid & KNEO_HAS_SELL)
        std::cout << ", ask " << tick.sell_price;
    if (tick.valid & KNEO_HAS_VOLUME)
        std::cout << ", volume " << tick.volume_traded_today;
    std::cout << ", " << tick.age_us << " us old\n";
}

void show_prices(kneo::client &client, int count, const std::vector<std::string_view> &instruments)
{
    kneo::feed feed(client);
    for (const std::string_view instrument : instruments) {
        // An index has a name, everything else a number.
        const std::string_view token = instrument.substr(instrument.find('|') + 1);
        const bool index = token.find_first_not_of("0123456789") != std::string_view::npos;
        feed.subscribe(index ? "index" : "scrips", instrument);
    }
    for (const kneo_tick &tick : feed.ticks(patience)) {
        if (tick.kind == KNEO_KIND_STATE)
            std::cout << "feed: " << kneo::state_name(tick.feed_state) << '\n';
        else
            show_price(tick);
        if (tick.kind != KNEO_KIND_STATE && --count == 0)
            feed.stop(); // the loop ends
    }
    if (count > 0)
        throw std::runtime_error("no price came in time");
}

} // namespace

int main(int argc, char **argv)
{
    bool ok = true;
    std::cout << std::fixed << std::setprecision(2);
    try {
        const int count = argc > 1 ? std::atoi(argv[1]) : 20;
        if (count < 1)
            throw std::runtime_error("usage: ticks [COUNT [INSTRUMENT...]]");
        std::vector<std::string_view> instruments(argv + std::min(argc, 2), argv + argc);
        if (instruments.empty())
            instruments = {"nse_cm|Nifty 50", "nse_cm|11536"};
        kneo::client client(need("KNEO_CONFIG"));
        client.totp_login(need("KNEO_MOBILE_NUMBER"), need("KNEO_UCC"), totp_of_now());
        client.totp_validate(need("KNEO_MPIN"));
        show_orders(client);
        show_prices(client, count, instruments);
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
