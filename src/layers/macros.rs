//! What every layer has, written once: access to the service within, and an opaque response future.

/// `get_ref`, `get_mut` and `into_inner`, as tower-http's services have them.
macro_rules! inner_service_accessors {
    () => {
        /// The service within.
        pub fn get_ref(&self) -> &S {
            &self.inner
        }

        /// The service within, to change.
        pub fn get_mut(&mut self) -> &mut S {
            &mut self.inner
        }

        /// The service within, without this one.
        pub fn into_inner(self) -> S {
            self.inner
        }
    };
}

/// A public response future with private parts.
macro_rules! opaque_future {
    ($(#[$attribute:meta])* pub struct $name:ident<$inner:ident>($actual:ty);) => {
        pin_project_lite::pin_project! {
            $(#[$attribute])*
            pub struct $name<$inner> {
                #[pin]
                future: $actual,
            }
        }

        impl<$inner> $name<$inner> {
            fn new(future: $actual) -> Self {
                $name { future }
            }
        }

        impl<$inner, E> std::future::Future for $name<$inner>
        where
            $inner: std::future::Future<Output = Result<$crate::ChatResponse, E>>,
            E: Into<$crate::Error>,
        {
            type Output = Result<$crate::ChatResponse, $crate::Error>;

            fn poll(
                self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
            ) -> std::task::Poll<Self::Output> {
                self.project().future.poll(cx)
            }
        }

        impl<$inner> std::fmt::Debug for $name<$inner> {
            fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str(stringify!($name))
            }
        }
    };
}

pub(super) use {inner_service_accessors, opaque_future};
