// Kotak Neo's trading API from C#: a thin layer over the kotak_neo library.
//
//     using (var client = new KotakNeo.Client(config))
//     {
//         client.TotpLogin("+919999999999", "ABC12", "123456");
//         KotakNeo.Response trade = client.TotpValidate("123456");
//         Console.WriteLine(trade.Redacted);
//         using (KotakNeo.Feed feed = client.OpenFeed())
//         {
//             feed.Subscribe("scrips", "nse_cm|11536");
//             foreach (KotakNeo.Tick tick in feed.Ticks(10000))
//             {
//                 Console.WriteLine("{0} {1}", tick.Symbol, tick.LastTradedPrice);
//             }
//         }
//     }
//
// Handles are SafeHandles. Text goes in and out as UTF-8, converted here, since
// the runtime's own string marshalling means other encodings on some systems.
// A call that is not OK throws KotakNeoException. A Client may be used from any
// thread; a call blocks until the answer is there or its deadline has passed.
//
// C# 7, so that Mono's compiler takes it; newer compilers do as well.

using System;
using System.Collections.Generic;
using System.Runtime.InteropServices;
using System.Text;

namespace KotakNeo
{
    /// <summary>Outcome of a call. The numbers never change.</summary>
    public enum Status
    {
        Ok = 0,
        InvalidArgument = 1,
        InvalidHandle = 2,
        NotLoggedIn = 3,
        SessionExpired = 4,
        Rejected = 5,
        RateLimited = 6,
        Timeout = 7,
        Network = 8,
        UnknownOutcome = 9,
        Protocol = 10,
        Unavailable = 11,
        Closed = 12,
        Internal = 13,
        End = 14,
    }

    /// <summary>What a call gave back, copied out of the library.</summary>
    public sealed class Response
    {
        public Status Status { get; }
        /// <summary>The broker's HTTP status, 0 where there was no answer.</summary>
        public int HttpStatus { get; }
        public string Json { get; }
        public string Message { get; }
        public string Meta { get; }
        /// <summary>The JSON with tokens and personal data masked.</summary>
        public string Redacted { get; }

        internal Response(ResponseHandle raw)
        {
            Status = (Status)Native.kneo_response_status(raw);
            HttpStatus = Native.kneo_response_http_status(raw);
            // The texts live as long as the handle: no finalizer may free it here.
            Json = Utf8.Read(Native.kneo_response_json(raw), checked((int)Native.kneo_response_json_len(raw)));
            Message = Utf8.Read(Native.kneo_response_message(raw));
            Meta = Utf8.Read(Native.kneo_response_meta(raw));
            Redacted = Utf8.Read(Native.kneo_response_redacted(raw));
            GC.KeepAlive(raw);
        }

        /// <summary>Of a call that gives a status only.</summary>
        internal Response(Status status)
        {
            Status = status;
            Json = Message = Meta = Redacted = "status " + (int)status;
        }

        /// <summary>Masked, so that printing a response shows no token.</summary>
        public override string ToString()
        {
            return Redacted;
        }
    }

    /// <summary>A call that was not OK.</summary>
    public sealed class KotakNeoException : Exception
    {
        public Response Response { get; }

        public Status Status
        {
            get { return Response.Status; }
        }

        internal KotakNeoException(Response response) : base(response.Message)
        {
            Response = response;
        }
    }

    /// <summary>One account's connection to the broker.</summary>
    public sealed class Client : IDisposable
    {
        private readonly ClientHandle handle;

        /// <summary>Opens a client; without a configuration with all defaults.</summary>
        public Client(string config = null)
        {
            using (var a = new Utf8(nameof(config), config))
            {
                Take(Native.kneo_client_open(a.Bytes, out handle));
            }
        }

        /// <summary>Frees the client, once calls in flight have returned. Interrupt ends those.</summary>
        public void Dispose()
        {
            handle.Dispose();
        }

        /// <summary>Ends the calls in flight and keeps the session.</summary>
        public void Interrupt()
        {
            Native.kneo_client_interrupt(handle);
        }

        /// <summary>The kill switch: nothing but cancels leaves this client from now on.</summary>
        public Response Halt()
        {
            return Take(Native.kneo_client_halt(handle));
        }

        /// <summary>First step of the current login.</summary>
        public Response TotpLogin(string mobileNumber, string ucc, string totp)
        {
            using (var a = new Utf8(nameof(mobileNumber), mobileNumber))
            using (var b = new Utf8(nameof(ucc), ucc))
            using (var c = new Utf8(nameof(totp), totp))
            {
                return Take(Native.kneo_totp_login(handle, a.Bytes, b.Bytes, c.Bytes));
            }
        }

        /// <summary>Its second step, with the MPIN.</summary>
        public Response TotpValidate(string mpin)
        {
            using (var a = new Utf8(nameof(mpin), mpin))
            {
                return Take(Native.kneo_totp_validate(handle, a.Bytes));
            }
        }

        /// <summary>First step of the password login. One of the three names is given, the others are null.</summary>
        public Response Login(string mobileNumber, string userId, string pan, string password)
        {
            using (var a = new Utf8(nameof(mobileNumber), mobileNumber))
            using (var b = new Utf8(nameof(userId), userId))
            using (var c = new Utf8(nameof(pan), pan))
            using (var d = new Utf8(nameof(password), password))
            {
                return Take(Native.kneo_login(handle, a.Bytes, b.Bytes, c.Bytes, d.Bytes));
            }
        }

        /// <summary>Its second step, with the OTP or the MPIN.</summary>
        public Response Session2Fa(string otp)
        {
            using (var a = new Utf8(nameof(otp), otp))
            {
                return Take(Native.kneo_session_2fa(handle, a.Bytes));
            }
        }

        /// <summary>The state of the session, without secrets.</summary>
        public Response SessionInfo()
        {
            return Take(Native.kneo_session_info(handle));
        }

        /// <summary>Ends the session.</summary>
        public Response Logout()
        {
            return Take(Native.kneo_logout(handle));
        }

        /// <summary>Opens the market feed. It ends with the client, and is disposed all the same.</summary>
        public Feed OpenFeed(string options = null)
        {
            return new Feed(handle, options);
        }

        /// <summary>Opens the order feed. It ends with the client, and is disposed all the same.</summary>
        public OrderFeed OpenOrderFeed(string options = null)
        {
            return new OrderFeed(handle, options);
        }

        internal static Response Take(ResponseHandle raw)
        {
            Response response;
            using (raw)
            {
                response = new Response(raw);
            }
            if (response.Status != Status.Ok)
            {
                throw new KotakNeoException(response);
            }
            return response;
        }
    }

    /// <summary>What a Tick is.</summary>
    public enum TickKind
    {
        Scrip = 1,
        ScripLite = 2,
        Index = 3,
        MarketStatus = 4,
        Cas = 5,
        State = 6,
    }

    /// <summary>How a market feed is.</summary>
    public enum FeedState
    {
        Connecting = 1,
        Authenticating = 2,
        Live = 3,
        Stale = 4,
        Down = 5,
        Refused = 6,
    }

    /// <summary>Which fields of a Tick are there. The others mean nothing.</summary>
    [Flags]
    public enum Has : ulong
    {
        LastTradedPrice = 1 << 0,
        Ohl = 1 << 1,
        ClosePrice = 1 << 2,
        AverageTradePrice = 1 << 3,
        NetChange = 1 << 4,
        NetChangePercent = 1 << 5,
        CircuitLimits = 1 << 6,
        Yearly = 1 << 7,
        TotalTradedValue = 1 << 8,
        Buy = 1 << 9,
        Sell = 1 << 10,
        Cas = 1 << 11,
        LastTradeTime = 1 << 12,
        LastUpdateTime = 1 << 13,
        LastTradeQty = 1 << 14,
        TotalQuantities = 1 << 15,
        Volume = 1 << 16,
        OpenInterest = 1 << 17,
        MarketLot = 1 << 18,
        Precision = 1 << 19,
        StatusCode = 1 << 20,
        CloseCode = 1 << 21,
    }

    /// <summary>One record of a market feed: kneo_tick of kotak_neo.h, field by field. Prices are in rupees.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct Tick
    {
#pragma warning disable 0169, 0649 // the library fills them
        public readonly double LastTradedPrice, OpenPrice, HighPrice, LowPrice, ClosePrice;
        public readonly double AverageTradePrice, NetChange, NetChangePercent;
        public readonly double UpperCircuitLimit, LowerCircuitLimit, YearlyHigh, YearlyLow;
        public readonly double TotalTradedValue, BuyPrice, SellPrice, RefPrice, Multiplier;
        public readonly long LastTradedPriceRaw, OpenPriceRaw, HighPriceRaw, LowPriceRaw, ClosePriceRaw;
        public readonly long AverageTradePriceRaw, NetChangeRaw;
        public readonly long UpperCircuitLimitRaw, LowerCircuitLimitRaw, YearlyHighRaw, YearlyLowRaw;
        public readonly long BuyPriceRaw, SellPriceRaw, RefPriceRaw;
        public readonly long LastTradeTime, LastUpdateTime, LastTradeQty;
        public readonly long TotalBuyQuantity, TotalSellQuantity, VolumeTradedToday, OpenInterest;
        public readonly long BuyQuantity, SellQuantity, ImbalanceQty, ImbalanceQtyAtMarket, MarketLot;
        public readonly long ReceivedNs, AgeUs;
        public readonly ulong Sequence, Replaced;
        public readonly Has Valid;
        public readonly TickKind Kind;
        public readonly int ExchangeId;
        public readonly uint Token;
        public readonly int Divider, Level, Precision, Auction;
        public readonly int BuyOrders, SellOrders, BuyRows, SellRows, StatusCode;
        public readonly FeedState FeedState;
        public readonly int CloseCode, StateChanges;
        private readonly int Reserved;
        [MarshalAs(UnmanagedType.ByValArray, SizeConst = 8)]
        private readonly byte[] exchangeSegment;
        [MarshalAs(UnmanagedType.ByValArray, SizeConst = 48)]
        private readonly byte[] tradingSymbol;
        [MarshalAs(UnmanagedType.ByValArray, SizeConst = 24)]
        private readonly byte[] name;
#pragma warning restore 0169, 0649

        public string ExchangeSegment
        {
            get { return Utf8.Read(exchangeSegment); }
        }

        /// <summary>The trading symbol, or the name of an index; "" until the broker has told it.</summary>
        public string Symbol
        {
            get { return Utf8.Read(Kind == TickKind.Index ? name : tradingSymbol); }
        }

        internal static readonly int Size = CheckedSize();

        private static int CheckedSize()
        {
            int size = Marshal.SizeOf(typeof(Tick));
            if (size != 528)
            {
                throw new TypeLoadException("the layout of Tick is not that of kotak_neo.h: " + size + " bytes");
            }
            return size;
        }
    }

    /// <summary>The market feed of a client. Any thread may use it.</summary>
    public sealed class Feed : IDisposable
    {
        private readonly FeedHandle handle;

        internal Feed(ClientHandle client, string options)
        {
            using (var a = new Utf8(nameof(options), options))
            {
                Client.Take(Native.kneo_feed_open(client, a.Bytes, out handle));
            }
        }

        /// <summary>Frees the feed, once waits on it have returned.</summary>
        public void Dispose()
        {
            handle.Dispose();
        }

        /// <summary>Subscribes to instruments, now and after every reconnect.</summary>
        public Response Subscribe(string kind, string tokens = null)
        {
            using (var a = new Utf8(nameof(kind), kind))
            using (var b = new Utf8(nameof(tokens), tokens))
            {
                return Client.Take(Native.kneo_feed_subscribe(handle, a.Bytes, b.Bytes));
            }
        }

        /// <summary>Ends subscriptions.</summary>
        public Response Unsubscribe(string kind, string tokens = null)
        {
            using (var a = new Utf8(nameof(kind), kind))
            using (var b = new Utf8(nameof(tokens), tokens))
            {
                return Client.Take(Native.kneo_feed_unsubscribe(handle, a.Bytes, b.Bytes));
            }
        }

        /// <summary>How the feed is, and why.</summary>
        public Response Status()
        {
            return Client.Take(Native.kneo_feed_status(handle));
        }

        /// <summary>
        /// The records one by one, states of the feed among them. Ends when none comes in time, and with the client.
        /// </summary>
        public IEnumerable<Tick> Ticks(int timeoutMilliseconds)
        {
            Tick tick;
            while (Read(timeoutMilliseconds, out tick))
            {
                yield return tick;
            }
        }

        /// <summary>The newest price of an instrument. False if none came yet. Look at its AgeUs.</summary>
        public bool Last(string instrument, out Tick tick)
        {
            using (var a = new Utf8(nameof(instrument), instrument))
            {
                return Fill(memory => Native.kneo_feed_last(handle, a.Bytes, memory, (UIntPtr)Tick.Size), out tick);
            }
        }

        private bool Read(int timeoutMilliseconds, out Tick tick)
        {
            return Fill(
                memory => Native.kneo_feed_read(handle, memory, 1, (UIntPtr)Tick.Size, timeoutMilliseconds), out tick);
        }

        /// <summary>Has a call fill one struct.</summary>
        private static bool Fill(Func<IntPtr, int> call, out Tick tick)
        {
            IntPtr memory = Marshal.AllocHGlobal(Tick.Size);
            try
            {
                int count = call(memory);
                bool there = count > 0;
                if (count < 0 && count != -(int)KotakNeo.Status.Closed)
                {
                    throw new KotakNeoException(new Response((Status)(-count)));
                }
                tick = there ? (Tick)Marshal.PtrToStructure(memory, typeof(Tick)) : new Tick();
                return there;
            }
            finally
            {
                Marshal.FreeHGlobal(memory);
            }
        }
    }

    /// <summary>The order feed of a client. Any thread may use it.</summary>
    public sealed class OrderFeed : IDisposable
    {
        private readonly OrderFeedHandle handle;

        internal OrderFeed(ClientHandle client, string options)
        {
            using (var a = new Utf8(nameof(options), options))
            {
                Client.Take(Native.kneo_order_feed_open(client, a.Bytes, out handle));
            }
        }

        /// <summary>Frees the feed, once waits on it have returned.</summary>
        public void Dispose()
        {
            handle.Dispose();
        }

        /// <summary>How the feed is, and why.</summary>
        public Response Status()
        {
            return Client.Take(Native.kneo_order_feed_status(handle));
        }

        /// <summary>The events one by one, as JSON. Ends when none comes in time, and with the client.</summary>
        public IEnumerable<Response> Events(int timeoutMilliseconds)
        {
            while (true)
            {
                Response response;
                using (ResponseHandle raw = Native.kneo_order_feed_next(handle, timeoutMilliseconds))
                {
                    response = new Response(raw);
                }
                if (response.Status == KotakNeo.Status.End || response.Status == KotakNeo.Status.Closed)
                {
                    yield break;
                }
                if (response.Status != KotakNeo.Status.Ok)
                {
                    throw new KotakNeoException(response);
                }
                yield return response;
            }
        }
    }

    /// <summary>What belongs to the library as a whole.</summary>
    public static class Library
    {
        public static string Version
        {
            get { return Utf8.Read(Native.kneo_version()); }
        }

        /// <summary>How many handles are not freed yet.</summary>
        public static int LiveHandles
        {
            get { return Native.kneo_live_handles(); }
        }

        /// <summary>The TOTP of now: {"totp":"123456","valid_for_seconds":17}</summary>
        public static Response TotpGenerate(string secretBase32)
        {
            using (var a = new Utf8(nameof(secretBase32), secretBase32))
            {
                return Client.Take(Native.kneo_totp_generate(a.Bytes));
            }
        }

        /// <summary>What is open in a ledger file, whoever has it: {"intents":[...],"held_by":{"pid","since"}}</summary>
        public static Response LedgerOpenIntents(string ledgerFile)
        {
            using (var a = new Utf8(nameof(ledgerFile), ledgerFile))
            {
                return Client.Take(Native.kneo_ledger_open_intents(a.Bytes));
            }
        }

        /// <summary>Ends every thread and every client. False when a thread could not end in time.</summary>
        public static bool Shutdown(int timeoutMilliseconds)
        {
            return Native.kneo_shutdown(timeoutMilliseconds) == (int)Status.Ok;
        }
    }

    /// <summary>A handle of the library, which is freed once.</summary>
    internal abstract class Owned : SafeHandle
    {
        protected Owned() : base(IntPtr.Zero, true)
        {
        }

        public override bool IsInvalid
        {
            get { return handle == IntPtr.Zero; }
        }
    }

    internal sealed class ClientHandle : Owned
    {
        protected override bool ReleaseHandle()
        {
            Native.kneo_client_free(handle);
            return true;
        }
    }

    internal sealed class FeedHandle : Owned
    {
        protected override bool ReleaseHandle()
        {
            Native.kneo_feed_free(handle);
            return true;
        }
    }

    internal sealed class OrderFeedHandle : Owned
    {
        protected override bool ReleaseHandle()
        {
            Native.kneo_order_feed_free(handle);
            return true;
        }
    }

    internal sealed class ResponseHandle : Owned
    {
        protected override bool ReleaseHandle()
        {
            Native.kneo_response_free(handle);
            return true;
        }
    }

    /// <summary>An argument as the library takes it: UTF-8 bytes that end with NUL, wiped afterwards.</summary>
    internal sealed class Utf8 : IDisposable
    {
        /// <summary>null when the argument is not given.</summary>
        public byte[] Bytes { get; }

        public Utf8(string argument, string text)
        {
            if (text == null)
            {
                return;
            }
            if (text.IndexOf('\0') >= 0)
            {
                throw new ArgumentException("contains a NUL character", argument);
            }
            Bytes = new byte[Encoding.UTF8.GetByteCount(text) + 1];
            Encoding.UTF8.GetBytes(text, 0, text.Length, Bytes, 0);
        }

        public void Dispose()
        {
            if (Bytes != null)
            {
                Array.Clear(Bytes, 0, Bytes.Length);
            }
        }

        /// <summary>Copies text of the library, up to its NUL.</summary>
        public static string Read(IntPtr text)
        {
            int length = 0;
            while (Marshal.ReadByte(text, length) != 0)
            {
                length++;
            }
            return Read(text, length);
        }

        /// <summary>The text in a field of fixed size, up to its NUL.</summary>
        public static string Read(byte[] field)
        {
            int length = field == null ? 0 : Array.IndexOf(field, (byte)0);
            return length <= 0 ? "" : Encoding.UTF8.GetString(field, 0, length);
        }

        public static string Read(IntPtr text, int length)
        {
            var bytes = new byte[length];
            Marshal.Copy(text, bytes, 0, length);
            return Encoding.UTF8.GetString(bytes);
        }
    }

    /// <summary>The declarations of kotak_neo.h.</summary>
    internal static class Native
    {
        private const string Dll = "kotak_neo"; // libkotak_neo.so, kotak_neo.dll
        private const CallingConvention Cdecl = CallingConvention.Cdecl;

        [DllImport(Dll, CallingConvention = Cdecl)]
        internal static extern IntPtr kneo_version();

        [DllImport(Dll, CallingConvention = Cdecl)]
        internal static extern int kneo_live_handles();

        [DllImport(Dll, CallingConvention = Cdecl)]
        internal static extern int kneo_shutdown(int timeout_ms);

        [DllImport(Dll, CallingConvention = Cdecl)]
        internal static extern int kneo_response_status(ResponseHandle response);

        [DllImport(Dll, CallingConvention = Cdecl)]
        internal static extern int kneo_response_http_status(ResponseHandle response);

        [DllImport(Dll, CallingConvention = Cdecl)]
        internal static extern IntPtr kneo_response_json(ResponseHandle response);

        [DllImport(Dll, CallingConvention = Cdecl)]
        internal static extern UIntPtr kneo_response_json_len(ResponseHandle response);

        [DllImport(Dll, CallingConvention = Cdecl)]
        internal static extern IntPtr kneo_response_message(ResponseHandle response);

        [DllImport(Dll, CallingConvention = Cdecl)]
        internal static extern IntPtr kneo_response_meta(ResponseHandle response);

        [DllImport(Dll, CallingConvention = Cdecl)]
        internal static extern IntPtr kneo_response_redacted(ResponseHandle response);

        [DllImport(Dll, CallingConvention = Cdecl)]
        internal static extern void kneo_response_free(IntPtr response);

        [DllImport(Dll, CallingConvention = Cdecl)]
        internal static extern ResponseHandle kneo_client_open(byte[] config, out ClientHandle client);

        [DllImport(Dll, CallingConvention = Cdecl)]
        internal static extern void kneo_client_interrupt(ClientHandle client);

        [DllImport(Dll, CallingConvention = Cdecl)]
        internal static extern ResponseHandle kneo_client_halt(ClientHandle client);

        [DllImport(Dll, CallingConvention = Cdecl)]
        internal static extern void kneo_client_free(IntPtr client);

        [DllImport(Dll, CallingConvention = Cdecl)]
        internal static extern ResponseHandle kneo_totp_login(ClientHandle client, byte[] mobile_number, byte[] ucc, byte[] totp);

        [DllImport(Dll, CallingConvention = Cdecl)]
        internal static extern ResponseHandle kneo_totp_validate(ClientHandle client, byte[] mpin);

        [DllImport(Dll, CallingConvention = Cdecl)]
        internal static extern ResponseHandle kneo_login(ClientHandle client, byte[] mobile_number, byte[] user_id, byte[] pan, byte[] password);

        [DllImport(Dll, CallingConvention = Cdecl)]
        internal static extern ResponseHandle kneo_session_2fa(ClientHandle client, byte[] otp);

        [DllImport(Dll, CallingConvention = Cdecl)]
        internal static extern ResponseHandle kneo_totp_generate(byte[] secret_base32);

        [DllImport(Dll, CallingConvention = Cdecl)]
        internal static extern ResponseHandle kneo_ledger_open_intents(byte[] ledger_file);

        [DllImport(Dll, CallingConvention = Cdecl)]
        internal static extern ResponseHandle kneo_session_info(ClientHandle client);

        [DllImport(Dll, CallingConvention = Cdecl)]
        internal static extern ResponseHandle kneo_logout(ClientHandle client);

        [DllImport(Dll, CallingConvention = Cdecl)]
        internal static extern ResponseHandle kneo_feed_open(ClientHandle client, byte[] options, out FeedHandle feed);

        [DllImport(Dll, CallingConvention = Cdecl)]
        internal static extern ResponseHandle kneo_feed_subscribe(FeedHandle feed, byte[] kind, byte[] tokens);

        [DllImport(Dll, CallingConvention = Cdecl)]
        internal static extern ResponseHandle kneo_feed_unsubscribe(FeedHandle feed, byte[] kind, byte[] tokens);

        [DllImport(Dll, CallingConvention = Cdecl)]
        internal static extern int kneo_feed_read(FeedHandle feed, IntPtr ticks, int capacity, UIntPtr tick_size, int timeout_ms);

        [DllImport(Dll, CallingConvention = Cdecl)]
        internal static extern int kneo_feed_last(FeedHandle feed, byte[] instrument, IntPtr tick, UIntPtr tick_size);

        [DllImport(Dll, CallingConvention = Cdecl)]
        internal static extern ResponseHandle kneo_feed_status(FeedHandle feed);

        [DllImport(Dll, CallingConvention = Cdecl)]
        internal static extern void kneo_feed_free(IntPtr feed);

        [DllImport(Dll, CallingConvention = Cdecl)]
        internal static extern ResponseHandle kneo_order_feed_open(ClientHandle client, byte[] options, out OrderFeedHandle feed);

        [DllImport(Dll, CallingConvention = Cdecl)]
        internal static extern ResponseHandle kneo_order_feed_next(OrderFeedHandle feed, int timeout_ms);

        [DllImport(Dll, CallingConvention = Cdecl)]
        internal static extern ResponseHandle kneo_order_feed_status(OrderFeedHandle feed);

        [DllImport(Dll, CallingConvention = Cdecl)]
        internal static extern void kneo_order_feed_free(IntPtr feed);
    }
}
