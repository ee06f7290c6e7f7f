/* What the programs here read from the environment. */
#ifndef INPUT_HPP
#define INPUT_HPP

#include "kotak_neo.hpp"

#include <cstdlib>
#include <stdexcept>
#include <string>
#include <string_view>

inline std::string_view need(const char *variable)
{
    const char *text = std::getenv(variable);
    if (text == nullptr || *text == '\0')
        throw std::runtime_error(std::string("set ") + variable);
    return text;
}

// The six digits of now: given, or made from the secret.
inline std::string totp_of_now()
{
    if (const char *given = std::getenv("KNEO_TOTP"))
        return given;
    const kneo::response made = kneo::totp_generate(need("KNEO_TOTP_SECRET"));
    const std::string_view json = made.json(), key = R"("totp":")"; // {"totp":"123456",...}
    const std::size_t at = json.find(key);
    if (at == std::string_view::npos)
        throw std::runtime_error("totp_generate gave no totp");
    return std::string(json.substr(at + key.size(), 6));
}

#endif
