// Live orders and prices in C#.
//
//     Ticks.exe [COUNT [INSTRUMENT...]]
//
// It prints the orders of the day as the order feed tells them, and then COUNT
// prices (20 unless given) of the instruments: "nse_cm|11536", or the name of an
// index, "nse_cm|Nifty 50". The input is that of Login.cs.

using System;
using System.Globalization;
using System.Linq;
using System.Text.RegularExpressions;
using KotakNeo;

internal static class Ticks
{
    private const int Patience = 30000;

    private static int Main(string[] args)
    {
        CultureInfo.DefaultThreadCurrentCulture = CultureInfo.CurrentCulture = CultureInfo.InvariantCulture;
        bool ok = true;
        try
        {
            Run(args);
        }
        catch (Exception failure) when (failure is KotakNeoException || failure is ArgumentException || failure is TimeoutException)
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

    private static void Run(string[] args)
    {
        int count = 20;
        if (args.Length > 0 && (!int.TryParse(args[0], out count) || count < 1))
        {
            throw new ArgumentException("usage: Ticks.exe [COUNT [INSTRUMENT...]]");
        }
        string[] instruments = args.Length > 1 ? args.Skip(1).ToArray() : new[] { "nse_cm|Nifty 50", "nse_cm|11536" };
        using (var client = new Client(Variable("KNEO_CONFIG")))
        {
            client.TotpLogin(Variable("KNEO_MOBILE_NUMBER"), Variable("KNEO_UCC"), TotpOfNow());
            client.TotpValidate(Variable("KNEO_MPIN"));
            ShowOrders(client);
            ShowPrices(client, count, instruments);
        }
    }

    /// <summary>Prints what the order feed tells until the orders of the day were told.</summary>
    private static void ShowOrders(Client client)
    {
        using (OrderFeed feed = client.OpenOrderFeed())
        {
            foreach (Response response in feed.Events(Patience))
            {
                string json = response.Redacted;
                int data = json.IndexOf(",\"data\":", StringComparison.Ordinal); // the broker's row, which is long
                Console.WriteLine("order feed: " + (data < 0 ? json : json.Substring(0, data) + "}"));
                if (json.Contains("\"type\":\"books\",\"ok\":true"))
                {
                    return;
                }
            }
        }
        throw new TimeoutException("the books were not read in time");
    }

    private static void ShowPrices(Client client, int count, string[] instruments)
    {
        using (Feed feed = client.OpenFeed())
        {
            foreach (string instrument in instruments)
            {
                // An index has a name, everything else a number.
                bool scrip = Regex.IsMatch(instrument, "\\|[0-9]+$");
                feed.Subscribe(scrip ? "scrips" : "index", instrument);
            }
            foreach (Tick tick in feed.Ticks(Patience))
            {
                if (tick.Kind == TickKind.State)
                {
                    Console.WriteLine("feed: " + tick.FeedState.ToString().ToLowerInvariant());
                    continue;
                }
                ShowPrice(tick);
                if (--count == 0)
                {
                    return;
                }
            }
        }
        throw new TimeoutException("no price came in time");
    }

    private static void ShowPrice(Tick tick)
    {
        string line = string.Format("{0} {1:0.00}", tick.Symbol, tick.LastTradedPrice);
        if (tick.Valid.HasFlag(Has.NetChangePercent))
        {
            line += string.Format(" ({0:+0.00;-0.00} %)", tick.NetChangePercent);
        }
        if (tick.Valid.HasFlag(Has.Buy))
        {
            line += string.Format(", bid {0:0.00}", tick.BuyPrice);
        }
        if (tick.Valid.HasFlag(Has.Sell))
        {
            line += string.Format(", ask {0:0.00}", tick.SellPrice);
        }
        if (tick.Valid.HasFlag(Has.Volume))
        {
            line += ", volume " + tick.VolumeTradedToday;
        }
        Console.WriteLine("{0}, {1} us old", line, tick.AgeUs);
    }

    private static string Variable(string name)
    {
        return Environment.GetEnvironmentVariable(name);
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
