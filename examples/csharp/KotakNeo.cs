// Kotak Neo's trading API from C#: a thin layer over the kotak_neo library.
//
//     using (var client = new KotakNeo.Client(configJson))
//     {
//         client.TotpLogin("+919999999999", "ABC12", "123456");
//         KotakNeo.Response trade = client.TotpValidate("123456");
//         Console.WriteLine(trade.Redacted);
//     }
//
// Handles are SafeHandles. Text goes in and out as UTF-8, converted here, since
// the runtime's own string marshalling means other encodings on some systems.
// A call that is not OK throws KotakNeoException. A Client may be used from any
// thread; a call blocks until the answer is there or its deadline has passed.
//
// C# 7, so that Mono's compiler takes it; newer compilers do as well.

using System;
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
        public Client(string configJson = null)
        {
            using (var config = new Utf8(nameof(configJson), configJson))
            {
                Take(Native.kneo_client_open(config.Bytes, out handle));
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

        /// <summary>Ends every thread and every client. False when a thread could not end in time.</summary>
        public static bool Shutdown(int timeoutMilliseconds)
        {
            return Native.kneo_shutdown(timeoutMilliseconds) == (int)Status.Ok;
        }
    }

    internal sealed class ClientHandle : SafeHandle
    {
        public ClientHandle() : base(IntPtr.Zero, true)
        {
        }

        public override bool IsInvalid
        {
            get { return handle == IntPtr.Zero; }
        }

        protected override bool ReleaseHandle()
        {
            Native.kneo_client_free(handle);
            return true;
        }
    }

    internal sealed class ResponseHandle : SafeHandle
    {
        public ResponseHandle() : base(IntPtr.Zero, true)
        {
        }

        public override bool IsInvalid
        {
            get { return handle == IntPtr.Zero; }
        }

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
        internal static extern ResponseHandle kneo_client_open(byte[] config_json, out ClientHandle client);

        [DllImport(Dll, CallingConvention = Cdecl)]
        internal static extern void kneo_client_interrupt(ClientHandle client);

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
        internal static extern ResponseHandle kneo_session_info(ClientHandle client);

        [DllImport(Dll, CallingConvention = Cdecl)]
        internal static extern ResponseHandle kneo_logout(ClientHandle client);
    }
}
