// Log in to Kotak Neo from C#.
//
//     Login.exe totp        mobile number, UCC and TOTP, then the MPIN  (the default)
//     Login.exe password    mobile number and password, then OTP or MPIN
//
// All input comes from the environment: KNEO_CONFIG, KNEO_MOBILE_NUMBER, KNEO_UCC,
// KNEO_TOTP or KNEO_TOTP_SECRET, KNEO_MPIN, KNEO_PASSWORD, KNEO_OTP.
//
// For each call one line is printed: its name, its status, and its JSON with
// tokens and personal data masked.

using System;
using System.Text.RegularExpressions;
using KotakNeo;

internal static class Login
{
    private static int Main(string[] args)
    {
        bool ok = true;
        try
        {
            LogIn(args.Length > 0 ? args[0] : "totp");
        }
        catch (Exception failure) when (failure is KotakNeoException || failure is ArgumentException)
        {
            Console.Error.WriteLine(failure.Message);
            ok = false;
        }
        if (!Library.Shutdown(5000))
        {
            Console.Error.WriteLine("the library's threads did not end in time");
            ok = false;
        }
        int live = Library.LiveHandles;
        Console.WriteLine("live handles: " + live);
        return ok && live == 0 ? 0 : 1;
    }

    private static void LogIn(string way)
    {
        using (var client = new Client(Variable("KNEO_CONFIG")))
        {
            if (way == "totp")
            {
                string totp = TotpOfNow();
                Show("totp_login", () => client.TotpLogin(Variable("KNEO_MOBILE_NUMBER"), Variable("KNEO_UCC"), totp));
                Show("totp_validate", () => client.TotpValidate(Variable("KNEO_MPIN")));
            }
            else if (way == "password")
            {
                Show("login", () => client.Login(Variable("KNEO_MOBILE_NUMBER"), null, null, Variable("KNEO_PASSWORD")));
                Show("session_2fa", () => client.Session2Fa(Variable("KNEO_OTP")));
            }
            else
            {
                throw new ArgumentException("usage: Login.exe [totp|password]");
            }
            Show("session_info", client.SessionInfo);
            Show("logout", client.Logout);
        }
    }

    private static string Variable(string name)
    {
        return Environment.GetEnvironmentVariable(name);
    }

    /// <summary>Runs one call and prints its line, whether it is done or throws.</summary>
    private static void Show(string operation, Func<Response> call)
    {
        try
        {
            Print(operation, call());
        }
        catch (KotakNeoException failure)
        {
            Print(operation, failure.Response);
            throw;
        }
    }

    private static void Print(string operation, Response response)
    {
        Console.WriteLine("{0}: {1} {2}", operation, (int)response.Status, response.Redacted);
    }

    /// <summary>The six digits: given, or made from the secret.</summary>
    private static string TotpOfNow()
    {
        string given = Variable("KNEO_TOTP");
        if (!string.IsNullOrEmpty(given))
        {
            return given;
        }
        string json = Library.TotpGenerate(Variable("KNEO_TOTP_SECRET")).Json; // {"totp":"123456",...}
        return Regex.Match(json, "\"totp\":\"([0-9]{6})\"").Groups[1].Value;
    }
}
