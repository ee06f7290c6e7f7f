/*
 * kotak_neo for C++17: a thin layer over kotak_neo.h, header only.
 *
 *     kneo::client client(config);
 *     client.totp_login("+919999999999", "ABC12", "123456");
 *     kneo::response trade = client.totp_validate("123456");
 *     std::cout << trade.redacted() << '\n';
 *
 *     kneo::feed feed(client);
 *     feed.subscribe("scrips", "nse_cm|11536");
 *     for (const kneo_tick &tick : feed.ticks(std::chrono::seconds(10)))
 *         std::cout << tick.trading_symbol << ' ' << tick.last_traded_price << '\n';
 *
 * - Handles are objects that cannot be copied, only moved. They free themselves.
 * - Text goes in as std::string_view. It need not end with a NUL, and must not
 *   contain one. "Not given" is std::nullopt.
 * - A call that is not KNEO_OK throws kneo::error, with status, JSON and message.
 *   A wait that ends with nothing (KNEO_END) is no error, but std::nullopt.
 * - What kotak_neo.h says about threads holds here: any object, any thread. Only
 *   moving and destroying an object must not happen while another thread uses it.
 *
 * Names and meaning of the calls are those of kotak_neo.h.
 */
#ifndef KOTAK_NEO_HPP
#define KOTAK_NEO_HPP

#include "kotak_neo.h"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace kneo {

/* Text of an argument that may be left out. */
using optional_text = std::optional<std::string_view>;

/* A call failed. Copies share one text, so copying never throws. */
class error : public std::exception {
public:
    error(std::int32_t status, std::int32_t http_status, std::string message, std::string json,
          std::string redacted)
        : status_(status), http_status_(http_status),
          text_(std::make_shared<const text>(
              text{std::move(message), std::move(json), std::move(redacted)}))
    {
    }

    /* KNEO_REJECTED and the like. */
    std::int32_t status() const noexcept { return status_; }
    /* The broker's HTTP status, 0 where there was no answer. */
    std::int32_t http_status() const noexcept { return http_status_; }
    /* The message, as of kneo_response_message. */
    const char *what() const noexcept override { return text_->message.c_str(); }
    /* The error body, {"error":{...}}, with the broker's own words. */
    const std::string &json() const noexcept { return text_->json; }
    /* The same for screens and logs. */
    const std::string &redacted() const noexcept { return text_->redacted; }

private:
    struct text {
        std::string message, json, redacted;
    };
    std::int32_t status_;
    std::int32_t http_status_;
    std::shared_ptr<const text> text_;
};

/* What a call gave back. The views live as long as the response. */
class response {
public:
    /* Takes over a response of the C functions. Throws if it is a failure. */
    explicit response(kneo_response *raw) : raw_(raw)
    {
        if (status() != KNEO_OK) {
            throw error(status(), http_status(), std::string(message()), std::string(json()),
                        std::string(redacted()));
        }
    }

    std::int32_t status() const noexcept { return kneo_response_status(raw_.get()); }
    std::int32_t http_status() const noexcept { return kneo_response_http_status(raw_.get()); }
    std::string_view json() const noexcept
    {
        return {kneo_response_json(raw_.get()), kneo_response_json_len(raw_.get())};
    }
    std::string_view message() const noexcept { return kneo_response_message(raw_.get()); }
    std::string_view meta() const noexcept { return kneo_response_meta(raw_.get()); }
    /* The JSON with tokens and personal data masked, for screens and logs. */
    std::string_view redacted() const noexcept { return kneo_response_redacted(raw_.get()); }

private:
    struct free_response {
        void operator()(kneo_response *raw) const noexcept { kneo_response_free(raw); }
    };
    std::unique_ptr<kneo_response, free_response> raw_;
};

namespace detail {

/* The error of a call that has no response. */
inline error local_error(std::int32_t status, const std::string &message)
{
    const char *name = status == KNEO_INVALID_ARGUMENT ? "INVALID_ARGUMENT"
                     : status == KNEO_INVALID_HANDLE   ? "INVALID_HANDLE"
                     : status == KNEO_CLOSED           ? "CLOSED"
                                                       : "INTERNAL";
    const std::string json =
        std::string(R"({"error":{"status":")") + name + R"(","code":null,"message":")" + message +
        R"(","hint":null,"http_status":null,"operation":"","request_id":null,"sent":false,)"
        R"("safe_to_repeat":false,"retry_after_ms":null,"tag":null,"broker":null}})";
    return error(status, 0, message, json, json);
}

/* The count that a call gave; a negative one is a failure. */
inline std::size_t counted(const char *operation, std::int32_t count)
{
    if (count < 0)
        throw local_error(-count, std::string(operation) + ": status " + std::to_string(-count));
    return static_cast<std::size_t>(count);
}

/* A time as the C functions take it. */
inline std::int32_t to_ms(std::chrono::milliseconds time) noexcept
{
    using limits = std::numeric_limits<std::int32_t>;
    const auto ms = std::clamp<std::chrono::milliseconds::rep>(time.count(), 0, limits::max());
    return static_cast<std::int32_t>(ms);
}

/* Whether a loop over a feed is at its end: nothing came in time, or the feed was
 * stopped or ended with its client. A feed that was moved away has no handle. */
inline bool is_over(std::int32_t status, const void *handle) noexcept
{
    return status == KNEO_END || status == KNEO_CLOSED
        || (status == KNEO_INVALID_HANDLE && handle != nullptr);
}

/* An event, or nothing if none came in time. */
inline std::optional<response> event_of(kneo_response *raw, bool over)
{
    if (!over)
        return response(raw);
    kneo_response_free(raw);
    return std::nullopt;
}

/* What `next` gives, one after the other, until it gives nothing. For one
 * range-for; a value lives until the next one. */
template <typename Next>
class stream {
public:
    class iterator {
    public:
        explicit iterator(stream *from) noexcept : from_(from) {}
        const auto &operator*() const { return *from_->value_; }
        iterator &operator++()
        {
            from_->value_ = from_->next_();
            return *this;
        }
        /* There is only one other to compare with: the end. */
        bool operator!=(const iterator &) const noexcept { return from_->value_.has_value(); }

    private:
        stream *from_;
    };

    explicit stream(Next next) : next_(std::move(next)) {}
    iterator begin()
    {
        value_ = next_();
        return iterator(this);
    }
    iterator end() noexcept { return iterator(this); }

private:
    Next next_;
    std::invoke_result_t<Next &> value_;
};

/* An argument as the C functions take it: a copy that ends with NUL, wiped afterwards. */
class c_text {
public:
    c_text(const char *argument, optional_text text)
    {
        if (!text)
            return;
        if (text->find('\0') != std::string_view::npos)
            throw local_error(KNEO_INVALID_ARGUMENT, std::string(argument) + ": contains a NUL byte");
        size_ = text->size();
        copy_ = std::make_unique<char[]>(size_ + 1);
        std::copy(text->begin(), text->end(), copy_.get());
    }
    c_text(const c_text &) = delete;
    c_text &operator=(const c_text &) = delete;
    ~c_text()
    {
        /* volatile: the compiler must not leave it out */
        volatile char *byte = copy_.get();
        for (std::size_t i = 0; i < size_; ++i)
            byte[i] = 0;
    }
    const char *get() const noexcept { return copy_.get(); }

private:
    std::unique_ptr<char[]> copy_;
    std::size_t size_ = 0;
};

} // namespace detail

/* One account's connection to the broker. */
class client {
public:
    /* Opens a client with a configuration in JSON; nothing means all defaults. */
    explicit client(optional_text config = std::nullopt)
    {
        kneo_client *raw = nullptr;
        const detail::c_text a("config", config);
        response(kneo_client_open(a.get(), &raw));
        raw_.reset(raw);
    }

    /* The handle, for functions of kotak_neo.h. The client stays its owner. */
    kneo_client *get() const noexcept { return raw_.get(); }

    /* Ends the calls in flight, in whatever thread, and keeps the session. */
    void interrupt() noexcept { kneo_client_interrupt(get()); }

    /* The kill switch: nothing but cancels leaves this client from now on. */
    response halt() { return response(kneo_client_halt(get())); }

    response totp_login(std::string_view mobile_number, std::string_view ucc, std::string_view totp)
    {
        const detail::c_text a("mobile_number", mobile_number), b("ucc", ucc), c("totp", totp);
        return response(kneo_totp_login(get(), a.get(), b.get(), c.get()));
    }
    response totp_validate(std::string_view mpin)
    {
        const detail::c_text a("mpin", mpin);
        return response(kneo_totp_validate(get(), a.get()));
    }
    /* Exactly one of mobile_number, user_id and pan is given. */
    response login(optional_text mobile_number, optional_text user_id, optional_text pan,
                   std::string_view password)
    {
        const detail::c_text a("mobile_number", mobile_number), b("user_id", user_id),
            c("pan", pan), d("password", password);
        return response(kneo_login(get(), a.get(), b.get(), c.get(), d.get()));
    }
    response session_2fa(std::string_view otp)
    {
        const detail::c_text a("otp", otp);
        return response(kneo_session_2fa(get(), a.get()));
    }
    response session_init() { return response(kneo_session_init(get())); }
    response qr_code_link(std::string_view ucc)
    {
        const detail::c_text a("ucc", ucc);
        return response(kneo_qr_code_link(get(), a.get()));
    }
    response qr_code_session(std::string_view ott, std::string_view ucc)
    {
        const detail::c_text a("ott", ott), b("ucc", ucc);
        return response(kneo_qr_code_session(get(), a.get(), b.get()));
    }
    response session_info() { return response(kneo_session_info(get())); }
    response session_export() { return response(kneo_session_export(get())); }
    response session_import(std::string_view session)
    {
        const detail::c_text a("session", session);
        return response(kneo_session_import(get(), a.get()));
    }
    response whatsmyip() { return response(kneo_whatsmyip(get())); }
    response logout() { return response(kneo_logout(get())); }

private:
    struct free_client {
        void operator()(kneo_client *raw) const noexcept { kneo_client_free(raw); }
    };
    std::unique_ptr<kneo_client, free_client> raw_;
};

/* The name of a feed_state, KNEO_STATE_..., as in the JSON of events. */
inline std::string_view state_name(std::int32_t state) noexcept
{
    switch (state) {
    case KNEO_STATE_CONNECTING: return "connecting";
    case KNEO_STATE_AUTHENTICATING: return "authenticating";
    case KNEO_STATE_LIVE: return "live";
    case KNEO_STATE_STALE: return "stale";
    case KNEO_STATE_DOWN: return "down";
    case KNEO_STATE_REFUSED: return "refused";
    default: return "unknown";
    }
}

/* The market feed of a client. It ends with the client. */
class feed {
public:
    explicit feed(client &owner, optional_text options = std::nullopt)
    {
        kneo_feed *raw = nullptr;
        const detail::c_text text("options", options);
        response(kneo_feed_open(owner.get(), text.get(), &raw));
        raw_.reset(raw);
    }

    /* The handle, for functions of kotak_neo.h. The feed stays its owner. */
    kneo_feed *get() const noexcept { return raw_.get(); }

    response subscribe(std::string_view kind, optional_text tokens = std::nullopt)
    {
        const detail::c_text a("kind", kind), b("tokens", tokens);
        return response(kneo_feed_subscribe(get(), a.get(), b.get()));
    }
    response unsubscribe(std::string_view kind, optional_text tokens = std::nullopt)
    {
        const detail::c_text a("kind", kind), b("tokens", tokens);
        return response(kneo_feed_unsubscribe(get(), a.get(), b.get()));
    }
    response snapshot(std::string_view kind, optional_text tokens = std::nullopt)
    {
        const detail::c_text a("kind", kind), b("tokens", tokens);
        return response(kneo_feed_snapshot(get(), a.get(), b.get()));
    }
    response status() { return response(kneo_feed_status(get())); }

    /* The records one by one, states of the feed among them, for a range-for. It ends when
     * none comes within `timeout`, and after stop() or the end of the client. */
    auto ticks(std::chrono::milliseconds timeout)
    {
        return detail::stream([handle = get(), ms = detail::to_ms(timeout)] {
            std::optional<kneo_tick> tick(std::in_place);
            const std::int32_t count = kneo_feed_read(handle, &*tick, 1, sizeof *tick, ms);
            if (count == 0 || detail::is_over(-count, handle))
                tick.reset();
            else
                detail::counted("feed_read", count);
            return tick;
        });
    }
    /* Fills an array and gives how many were read; waits for the first one only. */
    std::size_t read(kneo_tick *out, std::size_t capacity, std::chrono::milliseconds timeout)
    {
        using limits = std::numeric_limits<std::int32_t>;
        const auto most = static_cast<std::int32_t>(std::min<std::size_t>(capacity, limits::max()));
        return detail::counted("feed_read", kneo_feed_read(get(), out, most, sizeof *out,
                                                           detail::to_ms(timeout)));
    }
    /* The next record as JSON. ticks(), read() and next() take from one queue. */
    std::optional<response> next(std::chrono::milliseconds timeout)
    {
        kneo_response *raw = kneo_feed_next(get(), detail::to_ms(timeout));
        return detail::event_of(raw, kneo_response_status(raw) == KNEO_END);
    }

    /* The newest price of an instrument, if one came already; look at its age_us. */
    std::optional<kneo_tick> last(std::string_view instrument)
    {
        const detail::c_text a("instrument", instrument);
        kneo_tick tick{};
        const std::int32_t found = kneo_feed_last(get(), a.get(), &tick, sizeof tick);
        return detail::counted("feed_last", found) > 0 ? std::optional(tick) : std::nullopt;
    }
    /* The newest market depth of an instrument, if one came already. */
    std::optional<kneo_depth> depth(std::string_view instrument)
    {
        const detail::c_text a("instrument", instrument);
        kneo_depth rows{};
        const std::int32_t found = kneo_feed_depth(get(), a.get(), &rows, sizeof rows);
        return detail::counted("feed_depth", found) > 0 ? std::optional(rows) : std::nullopt;
    }

    /* Ends the feed, from any thread, and every wait on it. Nothing can be read after it. */
    void stop() noexcept { kneo_feed_free(get()); }

private:
    struct free_feed {
        void operator()(kneo_feed *raw) const noexcept { kneo_feed_free(raw); }
    };
    std::unique_ptr<kneo_feed, free_feed> raw_;
};

/* The order feed of a client. It ends with the client. */
class order_feed {
public:
    explicit order_feed(client &owner, optional_text options = std::nullopt)
    {
        kneo_order_feed *raw = nullptr;
        const detail::c_text text("options", options);
        response(kneo_order_feed_open(owner.get(), text.get(), &raw));
        raw_.reset(raw);
    }

    /* The handle, for functions of kotak_neo.h. The feed stays its owner. */
    kneo_order_feed *get() const noexcept { return raw_.get(); }

    response status() { return response(kneo_order_feed_status(get())); }

    /* The events one by one, for a range-for, as feed::ticks. */
    auto events(std::chrono::milliseconds timeout)
    {
        return detail::stream([handle = get(), ms = detail::to_ms(timeout)] {
            kneo_response *raw = kneo_order_feed_next(handle, ms);
            return detail::event_of(raw, detail::is_over(kneo_response_status(raw), handle));
        });
    }
    /* The next event as JSON. */
    std::optional<response> next(std::chrono::milliseconds timeout)
    {
        kneo_response *raw = kneo_order_feed_next(get(), detail::to_ms(timeout));
        return detail::event_of(raw, kneo_response_status(raw) == KNEO_END);
    }

    /* Ends the feed, from any thread, and every wait on it. */
    void stop() noexcept { kneo_order_feed_free(get()); }

private:
    struct free_feed {
        void operator()(kneo_order_feed *raw) const noexcept { kneo_order_feed_free(raw); }
    };
    std::unique_ptr<kneo_order_feed, free_feed> raw_;
};

/* The TOTP of now: {"totp":"123456","valid_for_seconds":17} */
inline response totp_generate(std::string_view secret_base32)
{
    const detail::c_text a("secret_base32", secret_base32);
    return response(kneo_totp_generate(a.get()));
}

/* What is open in a ledger file, whoever has it: {"intents":[...],"held_by":{...}} */
inline response ledger_open_intents(std::string_view ledger_file)
{
    const detail::c_text a("ledger_file", ledger_file);
    return response(kneo_ledger_open_intents(a.get()));
}

inline std::string_view version() noexcept { return kneo_version(); }
inline std::uint32_t abi_version() noexcept { return kneo_abi_version(); }
inline std::int32_t live_handles() noexcept { return kneo_live_handles(); }

/* Ends every thread of the library. False when one could not end in time. */
inline bool shutdown(std::chrono::milliseconds timeout) noexcept
{
    return kneo_shutdown(detail::to_ms(timeout)) == KNEO_OK;
}

} // namespace kneo

#endif /* KOTAK_NEO_HPP */
